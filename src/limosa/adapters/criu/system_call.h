/* What each library needs that is preloaded into criu: system calls, and errno of the C library that criu has.
 *
 * No headers and no C library of its own: criu brings one that need not be the compiler's. */

struct part {
	void *start;
	unsigned long size;
};

extern int *__errno_location(void);

static long system_call(long number, long one, long two, long three, long four, long five, long six)
{
	register long fourth __asm__("r10") = four;
	register long fifth __asm__("r8") = five;
	register long sixth __asm__("r9") = six;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(one), "S"(two), "d"(three), "r"(fourth), "r"(fifth), "r"(sixth)
			 : "rcx", "r11", "memory");
	return result;
}

/* Return a call's result as the C library does, with its error in errno. */
static long told(long result)
{
	if (result < 0 && result > -4096) {
		*__errno_location() = (int)-result;
		return -1;
	}
	return result;
}
