/* A channel as a whole, from where its handshake is through (support/schedule.h). */
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
    schedule_run(data, size, false);
    return 0;
}
