"""Which instruction sets this processor runs: asked once, before any other compiled module is chosen."""

cdef extern from *:
    """
    #if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
    /* Also asks the operating system whether it saves the wide registers. */
    static int runs_v3(void) {
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    }
    static int runs_v4(void) {
        return runs_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    }
    #else
    static int runs_v3(void) { return 0; }
    static int runs_v4(void) { return 0; }
    #endif
    """
    bint runs_v3()
    bint runs_v4()


def supported_levels():
    """The x86-64 levels this processor runs, lowest first."""
    return ("v2",) + (("v3",) if runs_v3() else ()) + (("v4",) if runs_v4() else ())
