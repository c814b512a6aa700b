/* Preloaded into criu for a restore whose memory comes on demand: it gets userfaultfds where the kernel refuses them.
 *
 * criu asks for one in each task that it restores, which is in the container's user namespace by then: a descriptor that tells
 * faults in the kernel, too, is refused there. /dev/userfaultfd gives one to whoever has the device open, so the server of
 * pages, which is root of the host, lends it: criu gets a stand-in at first, and when it sends that to the server (the pid was
 * sent just before, and one task sends at a time) the server's answer is the device. What is made of it takes the stand-in's
 * number and is what the server gets; a second answer says that it is ready for faults. No task keeps the device.
 *
 * Source: CRIU 4.2, criu/uffd.c, uffd_open, send_uffd; Linux Documentation/admin-guide/mm/userfaultfd.rst; unix(7). */

#include "system_call.h"

#define SYS_CLOSE 3
#define SYS_IOCTL 16
#define SYS_SENDMSG 46
#define SYS_RECVMSG 47
#define SYS_EVENTFD2 290
#define SYS_DUP3 292
#define SYS_USERFAULTFD 323

#define CLOSE_ON_EXEC 02000000
#define NO_WAIT 04000
#define NOT_A_USERFAULTFD (-25) /* ENOTTY */
#define INTERRUPTED (-4)
#define BROKEN (-5) /* EIO */

#define UFFDIO_API 0xC018AA3Ful
#define USERFAULTFD_IOC_NEW 0xAA00ul

#define SOL_SOCKET 1
#define SCM_RIGHTS 1
#define CLOSE_RECEIVED 0x40000000

struct right {
	unsigned long size;
	int level, kind;
	int descriptor, padding;
};

struct message {
	void *address;
	unsigned long address_size;
	struct part *parts;
	unsigned long n_parts;
	struct right *rights;
	unsigned long rights_size;
	int flags;
};

static int stand_in = -1;

long syscall(long number, long one, long two, long three, long four, long five, long six)
{
	/* With other flags it is only criu's question whether there are userfaultfds. */
	if (number == SYS_USERFAULTFD && one == (CLOSE_ON_EXEC | NO_WAIT)) {
		stand_in = (int)system_call(SYS_EVENTFD2, 0, CLOSE_ON_EXEC, 0, 0, 0, 0);
		return told(stand_in);
	}
	return told(system_call(number, one, two, three, four, five, six));
}

int ioctl(int descriptor, unsigned long request, void *argument)
{
	long result = system_call(SYS_IOCTL, descriptor, (long)request, (long)argument, 0, 0, 0);

	if (request == UFFDIO_API && result == NOT_A_USERFAULTFD)
		result = 0; /* of the stand-in; the server asks for what it needs */
	return (int)told(result);
}

/* Wait for one byte of the server's; return the descriptor that came with it, -1 for none, or an error. */
static long answer(int socket)
{
	char byte;
	struct part part = {&byte, 1};
	struct right right = {0};
	struct message message = {0, 0, &part, 1, &right, sizeof(right), 0};
	long result;

	do
		result = system_call(SYS_RECVMSG, socket, (long)&message, CLOSE_RECEIVED, 0, 0, 0);
	while (result == INTERRUPTED);
	if (result != 1)
		return result < 0 ? result : BROKEN;
	if (message.rights_size < sizeof(right) - sizeof(right.padding) || right.kind != SCM_RIGHTS)
		return -1;
	return right.descriptor;
}

/* Put a userfaultfd of this task in the stand-in's place. */
static long made(int socket)
{
	long device = answer(socket), descriptor, result;

	if (device < 0)
		return device == -1 ? BROKEN : device;
	descriptor = system_call(SYS_IOCTL, device, USERFAULTFD_IOC_NEW, CLOSE_ON_EXEC | NO_WAIT, 0, 0, 0);
	system_call(SYS_CLOSE, device, 0, 0, 0, 0, 0);
	if (descriptor < 0)
		return descriptor;
	result = system_call(SYS_DUP3, descriptor, stand_in, CLOSE_ON_EXEC, 0, 0, 0);
	system_call(SYS_CLOSE, descriptor, 0, 0, 0, 0, 0);
	return result;
}

long sendmsg(int socket, const void *what, int flags)
{
	const struct message *message = what;
	const struct right *right = message->rights;
	long result, ready;

	if (stand_in < 0 || !right || message->rights_size < sizeof(*right) - sizeof(right->padding) ||
	    right->level != SOL_SOCKET || right->kind != SCM_RIGHTS || right->descriptor != stand_in ||
	    message->n_parts != 1 || message->parts->size != 1) /* criu asks a helper of its own in longer messages */
		return told(system_call(SYS_SENDMSG, socket, (long)what, flags, 0, 0, 0));
	result = made(socket);
	stand_in = -1;
	if (result < 0)
		return told(result);
	result = system_call(SYS_SENDMSG, socket, (long)what, flags, 0, 0, 0);
	if (result < 0)
		return told(result);
	ready = answer(socket);
	return told(ready < -1 ? ready : result);
}
