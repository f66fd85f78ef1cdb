#include "tests/unit/support/schedules.h"

#include <stdlib.h>

static unsigned long number(const char *variable, unsigned long otherwise)
{
    const char *text = getenv(variable);

    return text != NULL ? strtoul(text, NULL, 10) : otherwise;
}

void schedules_run(unsigned long standard, void (*run_one)(uint64_t seed))
{
    unsigned long count = number("DG_SCHEDULES", standard);

    if (getenv("DG_SEED") != NULL) {
        run_one(number("DG_SEED", 0));
        return;
    }
    for (unsigned long seed = 1; seed <= count; seed++) {
        run_one(seed);
    }
}

int schedules_cut(struct random *random, uint8_t *bytes, size_t size, struct iovec *vector,
                  int most)
{
    int count = 1 + (int)random_below(random, (size_t)most);

    for (int i = 0; i < count - 1; i++) {
        size_t piece = random_below(random, 3) == 0 ? 0 : random_size(random, size);

        vector[i] = (struct iovec){.iov_base = bytes, .iov_len = piece};
        bytes += piece;
        size -= piece;
    }
    vector[count - 1] = (struct iovec){.iov_base = bytes, .iov_len = size};
    return count;
}

size_t schedules_pick(struct random *random, const size_t *from, size_t count)
{
    return from[random_below(random, count)];
}
