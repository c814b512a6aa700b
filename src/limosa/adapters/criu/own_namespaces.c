/* Preloaded into criu for a dump, since a daemon that gave up root could be dumped once only: not after it had come back.
 *
 * criu tries whether the namespaces belong to the container's user namespace: a child of its becomes the container's
 * root, enters that user namespace and opens the others of the first process, /proc/PID/ns/net and so on. A process that
 * changed its user may only be looked into with a capability in the user namespace of its memory, which is where its program
 * was executed: the container's at first, the host's once it came back, since criu forks it. So the child is refused what
 * has nothing to do with its question, and criu says that the namespaces do not belong together.
 *
 * Here they are opened before the child enters the user namespace, while it may still look. Whether it may enter them, which is
 * the question, the kernel says as before.
 *
 * Source: CRIU 4.2, criu/namespaces.c, check_user_ns; Linux kernel/ptrace.c, __ptrace_may_access; kernel/fork.c, mm_init. */

#include "system_call.h"

#define SYS_GETEUID 107
#define SYS_OPENAT 257
#define SYS_SETNS 308

#define CLONE_NEWUSER 0x10000000
#define CLOSE_ON_EXEC 02000000
#define ACCESS_DENIED (-13)
#define N_NAMESPACES 5

static const char *const names[N_NAMESPACES] = {"ns/net", "ns/uts", "ns/time", "ns/ipc", "ns/mnt"};
static int opened[N_NAMESPACES] = {-1, -1, -1, -1, -1};
static int process = -1; /* the directory in /proc whose user namespace was opened last */

static int same(const char *one, const char *other)
{
	while (*one && *one == *other)
		one++, other++;
	return *one == *other;
}

int openat64(int directory, const char *path, int flags, unsigned int mode)
{
	long found = system_call(SYS_OPENAT, directory, (long)path, flags, mode, 0, 0);

	if (found >= 0 && same(path, "ns/user"))
		process = directory;
	for (int at = 0; found == ACCESS_DENIED && directory == process && at < N_NAMESPACES; at++) {
		if (opened[at] >= 0 && same(path, names[at])) {
			found = opened[at];
			opened[at] = -1;
		}
	}
	return (int)told(found);
}

int setns(int descriptor, int kind)
{
	/* Only that child is not root; others share their descriptors with criu, and nothing of them may stay open. */
	if (kind == CLONE_NEWUSER && process >= 0 && system_call(SYS_GETEUID, 0, 0, 0, 0, 0, 0) != 0) {
		for (int at = 0; at < N_NAMESPACES; at++)
			opened[at] = (int)system_call(SYS_OPENAT, process, (long)names[at], CLOSE_ON_EXEC, 0, 0, 0);
	}
	return (int)told(system_call(SYS_SETNS, descriptor, kind, 0, 0, 0, 0));
}
