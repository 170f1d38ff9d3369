// What takes a known time: at least 2 ms.

#include <time.h>

static void two_milliseconds(void) {
    struct timespec wait = {0, 2000000};
    while (nanosleep(&wait, &wait) != 0) {
    }
}
