// Makes code while it runs, and says of it in /tmp/perf-PID.map that it is `made_while_running`, then runs it for about a
// second. With an argument the file is owned by another user, who would have us believe that.

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv) {
    // dec %rdi; jnz to it; ret
    static const unsigned char code[] = {0x48, 0xff, 0xcf, 0x75, 0xfb, 0xc3};
    void *place = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED)
        return 1;
    memcpy(place, code, sizeof code);
    char path[64];
    snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
    FILE *map = fopen(path, "w");
    if (map == NULL || fprintf(map, "%lx %zx made_while_running\n", (unsigned long)place, sizeof code) < 0 || fclose(map))
        return 1;
    if (argc > 1 && chown(path, 4711, 4711) != 0)
        return 1;
    ((void (*)(long))place)(2000000000);
    return strcmp(argv[0], path) == 0;
}
