/*
 * Preloaded into a daemon (LD_PRELOAD): calls on files below FAULTY_ROOT pass through here.
 *
 * FAULTY_LOG: every change of a file or folder and every sync is appended there, in the order in which they happened.
 * FAULTY_CONTROL: a file of struct control, shared with the test, which makes the Nth call of a class fail once.
 *
 * A record of the log: u32 kind, u32 length of the path, u64 inode, u64 offset or flag, u32 length of the data, path, data.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, WRITE, SYNC, RENAME, LINK, UNLINK, MKDIR, READ, TRUNCATE, RMDIR, FAILED, SYMLINK, CLASSES = 16 };

struct control {
  uint32_t class_;    /* which calls: one of the above; 0: none; 255: any */
  uint32_t countdown; /* the call that fails: 1 is the next */
  uint32_t error;     /* errno; 0: only half is written; KILLED: nothing is done any more */
  uint32_t failed;    /* class of the call that failed; 0: none yet */
  uint32_t counts[CLASSES];
};

#define KILLED 65535
#define FILES 65536
static struct { dev_t dev; ino_t ino; } files[FILES];
static struct control *control;
static const char *root;
static size_t root_length;
static int log_file = -1;
static pthread_mutex_t turn = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void begin(void) {
  const char *name = getenv("FAULTY_LOG");
  root = getenv("FAULTY_ROOT");
  root_length = root ? strlen(root) : 0;
  if (name) log_file = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  name = getenv("FAULTY_CONTROL");
  if (name) {
    int fd = syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC);
    void *at = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED) control = at;
    syscall(SYS_close, fd);
  }
}

static int below(const char *path) {
  return root && path && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

/* Descriptors are closed behind our back: one is ours while it still is the file that it was opened as. */
static ino_t watched(int fd) {
  struct stat now;
  if (fd < 0 || fd >= FILES || !files[fd].ino || fstat(fd, &now)) return 0;
  return now.st_ino == files[fd].ino && now.st_dev == files[fd].dev ? now.st_ino : 0;
}

static void put(uint32_t kind, uint64_t ino, uint64_t offset, const char *path, const struct iovec *data, int count, size_t length) {
  if (log_file < 0) return;
  uint32_t path_length = path ? strlen(path) : 0;
  char *record = malloc(28 + path_length + length), *at = record;
  uint32_t data_length = length;
  memcpy(at, &kind, 4), memcpy(at + 4, &path_length, 4), memcpy(at + 8, &ino, 8);
  memcpy(at + 16, &offset, 8), memcpy(at + 24, &data_length, 4);
  at += 28;
  if (path_length) memcpy(at, path, path_length);
  at += path_length;
  for (int i = 0; i < count && length; i++) {
    size_t part = data[i].iov_len < length ? data[i].iov_len : length;
    memcpy(at, data[i].iov_base, part);
    at += part, length -= part;
  }
  size_t total = at - record;
  for (size_t done = 0; done < total;) {
    long n = syscall(SYS_write, log_file, record + done, total - done);
    if (n < 0) abort();
    done += n;
  }
  free(record);
}

/* Whether this call is to fail: an errno, -1 for half a write, 0. */
static int fault(uint32_t class_, ino_t ino) {
  if (!control) return 0;
  control->counts[class_]++;
  if (!control->countdown || (control->class_ != class_ && control->class_ != 255)) return 0;
  if (--control->countdown) return 0;
  if (control->error == KILLED) kill(getpid(), SIGKILL);
  control->failed = class_;
  put(FAILED, ino, class_, NULL, NULL, 0, 0);
  return control->error ? (int)control->error : -1;
}

#define TURN pthread_mutex_lock(&turn)
#define DONE(result) do { int saved = errno; pthread_mutex_unlock(&turn); errno = saved; return result; } while (0)
#define FAIL_IF(class_, ino) do { int e = fault(class_, ino); if (e > 0) { pthread_mutex_unlock(&turn); errno = e; return -1; } } while (0)

static int opened(const char *path, int flags, mode_t mode) {
  if (!below(path)) {
    int fd = syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (fd >= 0 && fd < FILES) files[fd].ino = 0;
    return fd;
  }
  TURN;
  FAIL_IF(OPEN, 0);
  struct stat now;
  int existed = !(flags & O_CREAT) || !stat(path, &now);
  int fd = syscall(SYS_openat, AT_FDCWD, path, flags, mode);
  if (fd >= 0 && fd < FILES && !fstat(fd, &now)) {
    files[fd].ino = now.st_ino, files[fd].dev = now.st_dev;
    put(OPEN, now.st_ino, !existed, path, NULL, 0, 0);
    if (existed && (flags & O_TRUNC)) put(TRUNCATE, now.st_ino, 0, NULL, NULL, 0, 0);
  }
  DONE(fd);
}

int open64(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;
  va_end(more);
  return opened(path, flags, mode);
}

static ssize_t put_bytes(int fd, const struct iovec *data, int count, off_t offset) {
  ino_t ino = watched(fd);
  if (!ino) return offset < 0 ? syscall(SYS_writev, fd, data, count) : syscall(SYS_pwritev, fd, data, count, offset, 0L);
  TURN;
  FAIL_IF(ino ? WRITE : 0, ino);
  if (control && control->failed == WRITE && !control->countdown && !control->error) {
    /* Half of the first part: a short write. */
    struct iovec half = {data[0].iov_base, (data[0].iov_len + 1) / 2};
    control->failed = WRITE + 100;
    data = &half, count = 1;
    off_t at = offset < 0 ? syscall(SYS_lseek, fd, 0L, SEEK_CUR) : offset;
    ssize_t n = offset < 0 ? syscall(SYS_writev, fd, data, 1) : syscall(SYS_pwritev, fd, data, 1, offset, 0L);
    if (n > 0) put(WRITE, ino, at, NULL, data, 1, n);
    DONE(n);
  }
  off_t at = offset;
  if (at < 0) {
    struct stat now;
    at = syscall(SYS_fcntl, fd, F_GETFL, 0L) & O_APPEND ? (fstat(fd, &now), now.st_size) : syscall(SYS_lseek, fd, 0L, SEEK_CUR);
  }
  ssize_t n = offset < 0 ? syscall(SYS_writev, fd, data, count) : syscall(SYS_pwritev, fd, data, count, offset, 0L);
  if (n > 0) put(WRITE, ino, at, NULL, data, count, n);
  DONE(n);
}

ssize_t write(int fd, const void *bytes, size_t length) {
  struct iovec one = {(void *)bytes, length};
  return put_bytes(fd, &one, 1, -1);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) {
  struct iovec one = {(void *)bytes, length};
  return put_bytes(fd, &one, 1, offset);
}
ssize_t writev(int fd, const struct iovec *data, int count) { return put_bytes(fd, data, count, -1); }
ssize_t pwritev64(int fd, const struct iovec *data, int count, off_t offset) { return put_bytes(fd, data, count, offset); }

/* A copy within the kernel would not be seen: whoever asks for one reads and writes instead. */
long syscall(long number, ...) {
  static __typeof__(&syscall) next;
  if (!next) next = REAL(syscall);
  long a[6];
  va_list more;
  va_start(more, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(more, long);
  va_end(more);
  if (number == SYS_copy_file_range && (watched(a[0]) || watched(a[2]))) { errno = ENOSYS; return -1; }
  return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t length) {
  if (watched(in) || watched(out)) { errno = EINVAL; return -1; }
  return syscall(SYS_sendfile, out, in, at, length);
}
int ioctl(int fd, unsigned long request, ...) {
  va_list more;
  va_start(more, request);
  void *argument = va_arg(more, void *);
  va_end(more);
  if (request == FICLONE && watched(fd)) { errno = EOPNOTSUPP; return -1; }
  return syscall(SYS_ioctl, fd, request, argument);
}

static int synced(int fd, long call) {
  ino_t ino = watched(fd);
  if (!ino) return syscall(call, fd);
  TURN;
  FAIL_IF(SYNC, ino);
  /* The disk of a test need not really be waited for: the log says what was synced. */
  put(SYNC, ino, 0, NULL, NULL, 0, 0);
  DONE(0);
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int ftruncate64(int fd, off_t length) {
  ino_t ino = watched(fd);
  TURN;
  if (ino) FAIL_IF(TRUNCATE, ino);
  int result = syscall(SYS_ftruncate, fd, length);
  if (ino && !result) put(TRUNCATE, ino, length, NULL, NULL, 0, 0);
  DONE(result);
}

static int with_two(uint32_t class_, long call, const char *from, const char *to) {
  if (!below(from) && !below(to)) return syscall(call, from, to);
  TURN;
  FAIL_IF(class_, 0);
  int result = syscall(call, from, to);
  struct iovec second = {(void *)to, strlen(to)};
  if (!result) put(class_, 0, 0, from, &second, 1, second.iov_len);
  DONE(result);
}
int rename(const char *from, const char *to) { return with_two(RENAME, SYS_rename, from, to); }
int symlink(const char *from, const char *to) { return with_two(SYMLINK, SYS_symlink, from, to); }
int link(const char *from, const char *to) { return with_two(LINK, SYS_link, from, to); }

static int with_one(uint32_t class_, uint32_t kind, long call, const char *path, long mode) {
  if (!below(path)) return syscall(call, path, mode);
  TURN;
  FAIL_IF(class_, 0);
  int result = syscall(call, path, mode);
  struct stat now = {0};
  if (!result && kind == MKDIR) stat(path, &now);
  if (!result) put(kind, now.st_ino, 0, path, NULL, 0, 0);
  DONE(result);
}
int unlink(const char *path) { return with_one(UNLINK, UNLINK, SYS_unlink, path, 0); }
int rmdir(const char *path) { return with_one(UNLINK, RMDIR, SYS_rmdir, path, 0); }
int mkdir(const char *path, mode_t mode) { return with_one(MKDIR, MKDIR, SYS_mkdir, path, mode); }

ssize_t read(int fd, void *bytes, size_t length) {
  ino_t ino = control ? watched(fd) : 0;
  if (ino) { TURN; FAIL_IF(READ, ino); pthread_mutex_unlock(&turn); }
  return syscall(SYS_read, fd, bytes, length);
}
ssize_t pread64(int fd, void *bytes, size_t length, off_t offset) {
  ino_t ino = control ? watched(fd) : 0;
  if (ino) { TURN; FAIL_IF(READ, ino); pthread_mutex_unlock(&turn); }
  return syscall(SYS_pread64, fd, bytes, length, offset);
}

/* LevelDB writes through stdio, whose own writes do not pass here: its files get a stream that does. */
static ssize_t cookie_write(void *fd, const char *bytes, size_t length) {
  ssize_t n = write((int)(intptr_t)fd, bytes, length);
  return n < 0 ? 0 : n;
}
static ssize_t cookie_read(void *fd, char *bytes, size_t length) { return read((int)(intptr_t)fd, bytes, length); }
static int cookie_close(void *fd) { return syscall(SYS_close, (int)(intptr_t)fd); }

#define STREAMS 4096
static struct { FILE *stream; int fd; } streams[STREAMS];

FILE *fopen64(const char *path, const char *mode) {
  if (!below(path)) return REAL(fopen64)(path, mode);
  int flags = mode[0] == 'r' ? O_RDONLY : O_WRONLY | O_CREAT | (mode[0] == 'a' ? O_APPEND : O_TRUNC);
  int fd = opened(path, flags | O_CLOEXEC, 0600);
  if (fd < 0) return NULL;
  cookie_io_functions_t through = {cookie_read, cookie_write, NULL, cookie_close};
  FILE *stream = fopencookie((void *)(intptr_t)fd, mode, through);
  TURN;
  for (int i = 0; i < STREAMS; i++) {
    if (streams[i].stream && streams[i].stream != stream && watched(streams[i].fd)) continue;
    streams[i].stream = stream, streams[i].fd = fd;
    break;
  }
  DONE(stream);
}
int fileno(FILE *stream) {
  TURN;
  for (int i = 0; i < STREAMS; i++)
    if (streams[i].stream == stream) DONE(streams[i].fd);
  DONE(REAL(fileno)(stream));
}
