/* What a processor can do at best: fused multiply-adds on registers, with enough of them in flight, and passes over
   memory. */

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define CHAINS 12 /* at least latency times the number of units, and all in registers */

typedef REAL vector __attribute__((vector_size(BYTES)));

/* Does `rounds` rounds; returns the floating-point operations of one. */
int fma_rounds(long rounds, REAL factor, REAL term, REAL *sink)
{
    vector chain[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        chain[i] = (vector){0} + i * term; /* all different, or the compiler computes only one */
    for (long round = 0; round < rounds; round++)
        for (int i = 0; i < CHAINS; i++)
            chain[i] = chain[i] * factor + term;
    for (int i = 0; i < CHAINS; i++)
        *sink += chain[i][0];
    return 2 * CHAINS * (BYTES / sizeof(REAL));
}

/* a = b + s c for n elements, so many times: two arrays are read, and one is written. */
void triad_rounds(long rounds, long n, REAL s, REAL *restrict a, const REAL *restrict b, const REAL *restrict c)
{
    for (long round = 0; round < rounds; round++) {
        for (long i = 0; i < n; i++)
            a[i] = b[i] + s * c[i];
        __asm__ volatile("" : : "r"(a) : "memory"); /* or the compiler does one round for all */
    }
}
