#ifndef DG_FUZZ_H
#define DG_FUZZ_H

/* A fuzzer's bytes, taken from the front; zeros once they are used up. */

#include "check.h"

struct bytes {
    const uint8_t *next, *end;
};

static inline uint8_t take_byte(struct bytes *bytes)
{
    return bytes->next < bytes->end ? *bytes->next++ : 0;
}

/* Mostly small, now and then anything. */
static inline int32_t take_number(struct bytes *bytes)
{
    const uint8_t small = take_byte(bytes);
    if (small < 250)
        return small - 8;
    uint32_t number = 0;
    for (int i = 0; i < 4; i++)
        number = number << 8 | take_byte(bytes);
    return (int32_t)number;
}

/* Between `least` and `most`, both included. */
static inline int32_t take_between(struct bytes *bytes, int32_t least, int32_t most)
{
    const int32_t number = take_byte(bytes) << 8 | take_byte(bytes);
    return least + number % (most - least + 1);
}

static inline void take_into(struct bytes *bytes, uint8_t *into, size_t count)
{
    for (size_t i = 0; i < count; i++)
        into[i] = take_byte(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
