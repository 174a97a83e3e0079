package optistore_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	optistore "github.com/optistore/optistore/clients/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// certificate makes one for 127.0.0.1, signed by itself; it gives the paths of its PEM files.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private := ok(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der := ok(x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private))(t)
	pkcs8 := ok(x509.MarshalPKCS8PrivateKey(private))(t)
	folder := t.TempDir()
	return write(t, folder, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		write(t, folder, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
}

func TestTLSAndATokenOfTheEnvironment(t *testing.T) {
	cert, key := certificate(t)
	folder := t.TempDir()
	tokens := folder + "/tokens.json"
	words := strings.Fields(command())
	made := exec.Command(words[0], append(words[1:], "token", "create", "go", "--tokens", tokens)...)
	token := strings.TrimSpace(string(ok(made.Output())(t)))
	daemon, err := startDaemon("--config", write(t, folder, "c.yaml", `{"primary": {"type": "leveldb", "path": "`+folder+`/data"},
		"listen": "127.0.0.1:0", "tls_cert": "`+cert+`", "tls_key": "`+key+`", "tokens": "`+tokens+`"}`))
	must(t, err)
	t.Cleanup(daemon.kill)

	t.Setenv("OPTISTORE_TOKEN", token)
	t.Setenv("OPTISTORE_TLS_CA", cert)
	client := dial(t, daemon.address)
	result := save(t, client, 10)
	expectEqual(t, ok(client.Get(t.Context(), result))(t).GetCreatedBy(), "go")
	_, err = dial(t, daemon.address, optistore.WithToken("wrong")).Get(t.Context(), result)
	expectReason(t, err, "TOKEN_INVALID")
	for _, stranger := range []optistore.Option{
		optistore.WithTLS(&tls.Config{}), optistore.WithoutTLS(),
	} {
		_, err := dial(t, daemon.address, stranger).Get(t.Context(), result)
		expectEqual(t, status.Code(err), codes.Unavailable)
	}
}
