/* Preloaded into criu for a dump, for what it has no option for and what would keep everything standing still for longer.
 *
 * ioctl: its PAGEMAP_SCAN leaves out memory in which writes are marked asynchronously (PAGE_IS_WPALLOWED), since limosa reads
 * that itself. Scans for anything else, such as guard pages, are left alone.
 * sendmsg: it asks for all tracked connections of the container's network, twice, for which the kernel walks the table of the
 * whole machine, 10 ms each time. Where that network has none, the question is replaced by one that is answered at once.
 *
 * ptrace: a sleep that the stop interrupts ends with EINTR at criu, in the container that goes on, too, which programs need not
 * expect: no signal came. Here such a call looks like one that is begun anew (ERESTARTNOINTR), where it can be with what
 * is left of its time: the kernel has written the rest of a sleep where the program asked for it, and some waits have a
 * deadline. Others end with EINTR as before: begun anew for their whole time they might never end.
 *
 * Source: Linux Documentation/admin-guide/mm/pagemap.rst, PAGEMAP_SCAN; netlink(7); restart_syscall(2); Linux
 * kernel/time/hrtimer.c, do_nanosleep; CRIU 4.2, compel/arch/x86/src/lib/infect.c, compel_get_task_regs. */

#include "system_call.h"

#define SYS_READ 0
#define SYS_OPEN 2
#define SYS_CLOSE 3
#define SYS_IOCTL 16
#define SYS_NANOSLEEP 35
#define SYS_SENDMSG 46
#define SYS_PTRACE 101
#define SYS_FUTEX 202
#define SYS_CLOCK_NANOSLEEP 230

#define PAGEMAP_SCAN 0xC0606610ul
#define IN_MEMORY ((1ul << 3) | (1ul << 4)) /* present, swapped */
#define WP_ALLOWED 1ul

#define PEEKS(request) ((request) >= 1 && (request) <= 3)
#define GETREGSET 0x4204
#define PRSTATUS 1
#define GOES_ON_BY_ITSELF (-516) /* ERESTART_RESTARTBLOCK */
#define BEGUN_ANEW (-513)	 /* ERESTARTNOINTR */
#define WAIT_UNTIL 9		 /* FUTEX_WAIT_BITSET */
#define WAIT_FLAGS (128 | 256)

#define AF_NETLINK 16
#define CONNTRACK_GET ((1 << 8) | 1)
#define NOOP 1
#define REQUEST 1
#define ACK 4
#define DUMP 0x300

struct scan {
	unsigned long size, flags, start, end, walk_end, ranges, n_ranges, max_pages;
	unsigned long inverted, all_of, any_of, told;
};

struct question {
	unsigned int length;
	unsigned short type, flags;
	unsigned int sequence, port;
};

/* Of x86-64, struct user_regs_struct. */
struct registers {
	long before_r10[7], r10, r9, r8, rax, rcx, rdx, rsi, rdi, call, rest[11];
};

struct message {
	unsigned short *address;
	unsigned int address_size;
	struct part *parts;
	unsigned long n_parts;
};

int ioctl(int descriptor, unsigned long request, void *argument)
{
	if (request == PAGEMAP_SCAN) {
		struct scan *scan = argument;

		if (scan->any_of & IN_MEMORY) {
			scan->inverted |= WP_ALLOWED;
			scan->all_of |= WP_ALLOWED;
		}
	}
	return (int)told(system_call(SYS_IOCTL, descriptor, (long)request, (long)argument, 0, 0, 0));
}

static void begin_anew(struct registers *at)
{
	if (at->rax != GOES_ON_BY_ITSELF)
		return;
	if (at->call == SYS_NANOSLEEP && at->rsi)
		at->rdi = at->rsi;
	else if (at->call == SYS_CLOCK_NANOSLEEP && at->r10)
		at->rdx = at->r10;
	else if (at->call != SYS_FUTEX || (at->rsi & ~WAIT_FLAGS) != WAIT_UNTIL)
		return;
	at->rax = BEGUN_ANEW;
}

/* As glibc's, which returns what is peeked at. */
long ptrace(long request, long task, long address, void *data)
{
	long peeked, result;

	result = system_call(SYS_PTRACE, request, task, address, PEEKS(request) ? (long)&peeked : (long)data, 0, 0);
	if (result >= 0 && PEEKS(request)) {
		*__errno_location() = 0;
		return peeked;
	}
	if (result >= 0 && request == GETREGSET && address == PRSTATUS) {
		struct part *part = data;

		if (part->size == sizeof(struct registers))
			begin_anew(part->start);
	}
	return told(result);
}

/* Say whether the network namespace of this thread tracks no connection: the number is the first of the second line. */
static int tracks_nothing(void)
{
	static const char path[] = "/proc/thread-self/net/stat/nf_conntrack";
	char text[1024];
	long size, at = 0, descriptor = system_call(SYS_OPEN, (long)path, 0, 0, 0, 0, 0);

	if (descriptor < 0)
		return 0;
	size = system_call(SYS_READ, descriptor, (long)text, sizeof(text), 0, 0, 0);
	system_call(SYS_CLOSE, descriptor, 0, 0, 0, 0, 0);
	while (at < size && text[at] != '\n')
		at++;
	if (++at >= size || text[at] != '0')
		return 0;
	while (at < size && text[at] == '0')
		at++;
	return at < size && text[at] == ' ';
}

long sendmsg(int socket, const void *what, int flags)
{
	const struct message *message = what;

	if (message->address && message->address_size >= sizeof(*message->address) && *message->address == AF_NETLINK &&
	    message->n_parts == 1 && message->parts->size >= sizeof(struct question)) {
		struct question *question = message->parts->start;

		if (question->type == CONNTRACK_GET && question->flags == (REQUEST | DUMP) && tracks_nothing()) {
			question->type = NOOP;
			question->flags = REQUEST | ACK;
		}
	}
	return told(system_call(SYS_SENDMSG, socket, (long)what, flags, 0, 0, 0));
}
