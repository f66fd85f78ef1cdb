/*
 * A channel as a whole, its handshake included, which makes it slow
 * (support/schedule.h).
 */
#include "tests/fuzz/support/bytes.h"
#include "tests/fuzz/support/schedule.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    schedule_start();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    schedule_run(data, size, true);
    return 0;
}
