// Faults from below the daemon, for test_faults*.py: a library for LD_PRELOAD that steps the wall clock and makes system calls fail, as
// the file named by MERLON_FAULTS says. The file holds the struct below and is mapped, so that a test changes it while the daemon runs.
#define _GNU_SOURCE
#include <asm/socket.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct faults {
  _Atomic int64_t clock_step_s;     // added to CLOCK_REALTIME
  _Atomic int64_t send_percent;     // so many of a hundred sends fail with ENOBUFS, but on netlink
  _Atomic int64_t netlink_percent;  // so many requests to netlink fail with ENOBUFS
  _Atomic int64_t failed_sends, failed_requests;  // how often it came to that
  _Atomic int64_t lacks;             // socket options that the kernel does not know: a sum of LACKS_*
  _Atomic int64_t segment_errno;     // sends that carry UDP_SEGMENT fail with this
  _Atomic int64_t refused_segments;  // how often it came to that
};
enum { LACKS_UDP_SEGMENT = 1, LACKS_UDP_GRO = 2, LACKS_REUSEPORT_PROGRAM = 4 };

static struct faults* faults(void) {
  static _Atomic(struct faults*) mapped;
  static struct faults none;
  struct faults* found = atomic_load(&mapped);
  if (found != NULL) return found;
  found = &none;
  const char* path = getenv("MERLON_FAULTS");
  const int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd >= 0) {
    void* at = mmap(NULL, sizeof *found, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED) found = at;
    close(fd);
  }
  atomic_store(&mapped, found);
  return found;
}

static int is_netlink(int fd) {
  int domain = 0;
  socklen_t size = sizeof domain;
  return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_NETLINK;
}

static int strikes(int64_t percent) {
  static _Atomic uint64_t turn;
  return percent > 0 && (int64_t)(atomic_fetch_add(&turn, 1) * 61 % 100) < percent;
}

// Only UDP, raw ESP and netlink sockets: the control socket and the metrics' TCP go on.
static int must_fail(int fd) {
  struct faults* now = faults();
  if (atomic_load(&now->send_percent) == 0 && atomic_load(&now->netlink_percent) == 0) return 0;
  int type = 0;
  socklen_t size = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type == SOCK_STREAM) return 0;
  const int netlink = is_netlink(fd);
  if (!strikes(atomic_load(netlink ? &now->netlink_percent : &now->send_percent))) return 0;
  atomic_fetch_add(netlink ? &now->failed_requests : &now->failed_sends, 1);
  errno = ENOBUFS;
  return 1;
}

static int carries_segments(const struct msghdr* message) {
  struct msghdr* header = (struct msghdr*)message;  // as the macros want it
  for (struct cmsghdr* at = CMSG_FIRSTHDR(header); at != NULL; at = CMSG_NXTHDR(header, at))
    if (at->cmsg_level == SOL_UDP && at->cmsg_type == UDP_SEGMENT) return 1;
  return 0;
}

// As a device without checksums would: EIO.
static int refuses_segments(const struct msghdr* message) {
  const int64_t error = atomic_load(&faults()->segment_errno);
  if (error == 0 || !carries_segments(message)) return 0;
  atomic_fetch_add(&faults()->refused_segments, 1);
  errno = (int)error;
  return 1;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int clock_gettime(clockid_t clock, struct timespec* time) {
  static __typeof__(&clock_gettime) next;
  if (next == NULL) next = NEXT(clock_gettime);
  const int result = next(clock, time);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    time->tv_sec += atomic_load(&faults()->clock_step_s);
  return result;
}

time_t time(time_t* out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != NULL) *out = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(struct timeval* restrict out, void* restrict zone) {
  (void)zone;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return 0;
}

ssize_t send(int fd, const void* data, size_t size, int flags) {
  return must_fail(fd) ? -1 : NEXT(send)(fd, data, size, flags);
}

ssize_t sendto(int fd, const void* data, size_t size, int flags, const struct sockaddr* to,
               socklen_t to_size) {
  return must_fail(fd) ? -1 : NEXT(sendto)(fd, data, size, flags, to, to_size);
}

ssize_t sendmsg(int fd, const struct msghdr* message, int flags) {
  return must_fail(fd) || refuses_segments(message) ? -1 : NEXT(sendmsg)(fd, message, flags);
}

// As the kernel does it: what stands before the one that fails is sent, and the next call tells.
int sendmmsg(int fd, struct mmsghdr* messages, unsigned count, int flags) {
  if (must_fail(fd) || (count > 0 && refuses_segments(&messages[0].msg_hdr))) return -1;
  unsigned passes = count;
  if (atomic_load(&faults()->segment_errno) != 0)
    for (passes = 1; passes < count && !carries_segments(&messages[passes].msg_hdr);) ++passes;
  return NEXT(sendmmsg)(fd, messages, passes < count ? passes : count, flags);
}

int setsockopt(int fd, int level, int option, const void* value, socklen_t size) {
  const int64_t lacks = atomic_load(&faults()->lacks);
  if (((lacks & LACKS_UDP_SEGMENT) != 0 && level == SOL_UDP && option == UDP_SEGMENT) ||
      ((lacks & LACKS_UDP_GRO) != 0 && level == SOL_UDP && option == UDP_GRO) ||
      ((lacks & LACKS_REUSEPORT_PROGRAM) != 0 && level == SOL_SOCKET && option == SO_ATTACH_REUSEPORT_CBPF)) {
    errno = ENOPROTOOPT;
    return -1;
  }
  return NEXT(setsockopt)(fd, level, option, value, size);
}
