// What all readers of ELF files find something in: functions, one of which the compiler has put into another one, a
// probe (USDT) with a semaphore and operands of several kinds, a build id, lines of source; packed into it, its symbols.
//
//     cc -O2 -g -fno-asynchronous-unwind-tables -nostdlib -static -Wl,--build-id -o small small.c
//     objcopy --only-keep-debug small inside && xz --force inside
//     objcopy --add-section .gnu_debugdata=inside.xz small small.elf

unsigned short counter_semaphore __attribute__((section(".probes"))) = 0;
volatile long counter = 7;

static inline __attribute__((always_inline)) long twice(long n) {
    __asm__ volatile("990: nop\n"
                     ".pushsection .note.stapsdt,\"\",\"note\"\n"
                     ".balign 4\n.4byte 992f-991f,994f-993f,3\n991: .asciz \"stapsdt\"\n992: .balign 4\n"
                     "993: .8byte 990b\n.8byte _.stapsdt.base\n.8byte counter_semaphore\n"
                     ".asciz \"small\"\n.asciz \"twice\"\n.asciz \"8@%%rdi -4@$5 8@counter(%%rip)\"\n"
                     "994: .balign 4\n.popsection\n"
                     ".ifndef _.stapsdt.base\n"
                     ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"
                     ".weak _.stapsdt.base\n_.stapsdt.base: .space 1\n.size _.stapsdt.base, 1\n.popsection\n.endif\n"
                     : : "r"(n));
    return n * 2;
}

__attribute__((noinline)) long four_times(long n) {
    return twice(twice(n) + counter);
}

void _start(void) {
    four_times(counter);
    for (;;)
        counter++;
}
