package optistore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"regexp"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

const (
	defaultAddress  = "127.0.0.1:50051"
	defaultRetryFor = 5 * time.Minute

	receivedBytesMax    = 16 << 20
	streamWindow        = 4 << 20
	connectionWindow    = 8 << 20
	connectionBuffer    = 512 << 10
	keepaliveEvery      = 20 * time.Second
	keepaliveAnswer     = 40 * time.Second
	reconnectAfterFirst = 100 * time.Millisecond
)

// TLSFiles are PEM files: how a daemon is known, and how a client makes itself known.
type TLSFiles struct {
	// CA has the authorities that the daemon's certificate may come from. Empty: those that the system trusts.
	CA string
	// Cert is the client's own certificate, where the daemon asks for one. Empty: none.
	Cert string
	// Key belongs to Cert.
	Key string
}

// Option says how [Dial] connects.
type Option func(*dialing)

type dialing struct {
	token     string
	tls       *tls.Config
	tlsFiles  *TLSFiles
	plaintext bool
	insecure  bool
	retryFor  time.Duration
}

// WithToken makes the client known by what `optistore token create` printed. Default: OPTISTORE_TOKEN.
func WithToken(token string) Option { return func(d *dialing) { d.token = token } }

// WithTLS encrypts, by this configuration. Default: see [WithTLSFiles].
func WithTLS(config *tls.Config) Option {
	return func(d *dialing) { d.tls, d.tlsFiles, d.plaintext = config, nil, false }
}

// WithTLSFiles encrypts, by PEM files. Default: OPTISTORE_TLS_CA, OPTISTORE_TLS_CERT and OPTISTORE_TLS_KEY; OPTISTORE_TLS=true
// alone is TLS with what the system trusts; else there is none.
func WithTLSFiles(files TLSFiles) Option {
	return func(d *dialing) { d.tls, d.tlsFiles, d.plaintext = nil, &files, false }
}

// WithoutTLS does not encrypt, whatever the environment says.
func WithoutTLS() Option {
	return func(d *dialing) { d.tls, d.tlsFiles, d.plaintext = nil, nil, true }
}

// WithInsecure lets a token go over the network unencrypted. Default: OPTISTORE_INSECURE=true, else it is refused.
func WithInsecure() Option { return func(d *dialing) { d.insecure = true } }

// WithRetryFor sets for how long a save, load or watch that was cut off tries to reconnect. Default: 5 minutes.
func WithRetryFor(d time.Duration) Option { return func(to *dialing) { to.retryFor = d } }

// Dial makes a client of the daemon at `host:port` or `unix:PATH`; empty: OPTISTORE_SERVER, else 127.0.0.1:50051. It connects
// when it is first used. Where no daemon answers it tries again at most every 2 s, and calls that are made meanwhile fail at once.
// [*UsageError] where a TLS file can't be used, or a token would go over the network unencrypted.
func Dial(address string, options ...Option) (*Client, error) {
	if address == "" {
		address = os.Getenv("OPTISTORE_SERVER")
	}
	if address == "" {
		address = defaultAddress
	}
	dialing := dialing{token: os.Getenv("OPTISTORE_TOKEN"), insecure: os.Getenv("OPTISTORE_INSECURE") == "true", retryFor: defaultRetryFor}
	dialing.tlsFiles = tlsFilesOfEnvironment()
	for _, option := range options {
		option(&dialing)
	}
	settings, err := dialing.settings(address)
	if err != nil {
		return nil, err
	}
	target := address
	if !strings.HasPrefix(address, "unix:") {
		target = "dns:///" + address
	}
	conn, err := grpc.NewClient(target, settings...)
	if err != nil {
		return nil, usage("%s is no address: %v", address, err)
	}
	return newClient(conn, address, dialing.retryFor), nil
}

func tlsFilesOfEnvironment() *TLSFiles {
	files := TLSFiles{CA: os.Getenv("OPTISTORE_TLS_CA"), Cert: os.Getenv("OPTISTORE_TLS_CERT"), Key: os.Getenv("OPTISTORE_TLS_KEY")}
	if files.CA == "" && files.Cert == "" && os.Getenv("OPTISTORE_TLS") != "true" {
		return nil
	}
	return &files
}

func (d *dialing) settings(address string) ([]grpc.DialOption, error) {
	settings := []grpc.DialOption{
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(receivedBytesMax)),
		// gRPC's own window of 64 KiB, which it widens as it goes, caps a load for its first rows.
		grpc.WithInitialWindowSize(streamWindow),
		grpc.WithInitialConnWindowSize(connectionWindow),
		grpc.WithReadBufferSize(connectionBuffer),
		grpc.WithWriteBufferSize(connectionBuffer),
		// A daemon that is gone without a word would be waited for, for ever.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveEvery, Timeout: keepaliveAnswer}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: reconnectAfterFirst, Multiplier: 1.6, Jitter: 0.2, MaxDelay: longestWait},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithDisableServiceConfig(),
	}
	config, err := d.tlsConfig()
	if err != nil {
		return nil, err
	}
	if config != nil {
		settings = append(settings, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	} else {
		// A proxy of the environment (HTTPS_PROXY) would read the token and the rows, also of a daemon on this machine.
		settings = append(settings, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	}
	if d.token == "" {
		return settings, nil
	}
	if config == nil && !d.insecure && !isLocal(address) {
		return nil, usage("The token would go to %s unencrypted, for anyone on the way to read. Use TLS (OPTISTORE_TLS_CA or OPTISTORE_TLS=true), or say OPTISTORE_INSECURE=true if that is meant.", address)
	}
	return append(settings, grpc.WithPerRPCCredentials(bearer(d.token))), nil
}

func (d *dialing) tlsConfig() (*tls.Config, error) {
	if d.plaintext || d.tlsFiles == nil {
		return d.tls, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if d.tlsFiles.CA != "" {
		pem, err := os.ReadFile(d.tlsFiles.CA)
		if err != nil {
			return nil, usage("The TLS file %s can't be read: %v.", d.tlsFiles.CA, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usage("The TLS file %s has no certificate.", d.tlsFiles.CA)
		}
	}
	if d.tlsFiles.Cert != "" {
		own, err := tls.LoadX509KeyPair(d.tlsFiles.Cert, d.tlsFiles.Key)
		if err != nil {
			return nil, usage("The TLS files %s and %s can't be used: %v.", d.tlsFiles.Cert, d.tlsFiles.Key, err)
		}
		config.Certificates = []tls.Certificate{own}
	}
	return config, nil
}

var port = regexp.MustCompile(`:\d+$`)

// isLocal says whether nothing that is sent to an address leaves the machine. Names that only begin as one of the loopback do
// (127.0.0.1.example.org) are others'.
func isLocal(address string) bool {
	if strings.HasPrefix(address, "unix:") {
		return true
	}
	host := port.ReplaceAllString(address, "")
	ip := net.ParseIP(host)
	return host == "localhost" || host == "[::1]" || (strings.HasPrefix(host, "127.") && ip != nil)
}

// bearer goes with each call.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity is false, as Dial has decided that.
func (bearer) RequireTransportSecurity() bool { return false }
