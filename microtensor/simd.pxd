"""exp, log, tanh and their kin as inline functions that a compiler can vectorise: no calls, no tables, no branches.

A loop such as `for i in range(n): y[i] = exp(x[i])` becomes vector code when exp is straight-line arithmetic.
Each function is one fused source for float and double; conditions are written as `a if c else b`, which compiles
to a blend; and every condition is written so that nan falls through to the result.

Errors against the true value: exp, log, expm1 below 1.2 ulp, tanh and sigmoid below 2.2 (tests/test_simd.py).
"""

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    /* The same bits, read as another type. */
    static inline int32_t float_to_bits(float x)   { int32_t b; memcpy(&b, &x, 4); return b; }
    static inline int64_t double_to_bits(double x) { int64_t b; memcpy(&b, &x, 8); return b; }
    static inline float   bits_to_float(int32_t b) { float x;  memcpy(&x, &b, 4); return x; }
    static inline double  bits_to_double(int64_t b) { double x; memcpy(&x, &b, 8); return x; }
    """
    ctypedef int int32_t
    ctypedef long long int64_t
    int32_t float_to_bits(float x) noexcept nogil
    int64_t double_to_bits(double x) noexcept nogil
    float bits_to_float(int32_t b) noexcept nogil
    double bits_to_double(int64_t b) noexcept nogil

cdef extern from "<math.h>" nogil:
    float _sqrt "sqrtf"(float x)
    double _sqrt_double "sqrt"(double x)
    float _fabs "fabsf"(float x)
    double _fabs_double "fabs"(double x)
    float _copysign "copysignf"(float x, float y)
    double _copysign_double "copysign"(double x, double y)
    float _pow "powf"(float x, float y)
    double _pow_double "pow"(double x, double y)
    float INFINITY
    float NAN

ctypedef fused real:
    float
    double


# -- the machine's own -----------------------------------------------------------------------------------------

cdef inline real sqrt(real x) noexcept nogil:
    if real is float:
        return _sqrt(x)
    else:
        return _sqrt_double(x)


cdef inline real fabs(real x) noexcept nogil:
    if real is float:
        return _fabs(x)
    else:
        return _fabs_double(x)


cdef inline real copysign(real x, real y) noexcept nogil:
    if real is float:
        return _copysign(x, y)
    else:
        return _copysign_double(x, y)


cdef inline real power(real x, real y) noexcept nogil:
    if real is float:
        return _pow(x, y)
    else:
        return _pow_double(x, y)


# -- e^x = 2^n e^r,  n = round(x / ln 2),  r = x - n ln 2 in [-0.347, 0.347] ------------------------------------
#
# n: adding 1.5 * 2^(mantissa bits) leaves n in the low bits of the sum; subtracting it again gives n as a real.
# r: ln 2 is subtracted in two parts, the first with so few bits that n times it is exact.
# e^r - 1 = r + r^2/2! + r^3/3! + ...: the terms that are left out are below 1/10 ulp.

cdef inline real exp_reduce(real x, real* r) noexcept nogil:
    """The n and r of x, n as the real that holds it in its low bits."""
    cdef real shifted, n
    if real is float:
        shifted = x * <float>1.44269504 + <float>12582912.0
        n = shifted - <float>12582912.0
        r[0] = (x - n * <float>0.693359375) + n * <float>2.12194440e-4
    else:
        shifted = x * 1.4426950408889634 + 6755399441055744.0
        n = shifted - 6755399441055744.0
        r[0] = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10
    return shifted


cdef inline real expm1_small(real r) noexcept nogil:
    """e^r - 1 for |r| <= 0.347, Horner's scheme."""
    cdef real p
    if real is float:
        p = <float>(1 / 5040.)
        p = p * r + <float>(1 / 720.)
        p = p * r + <float>(1 / 120.)
        p = p * r + <float>(1 / 24.)
        p = p * r + <float>(1 / 6.)
        p = p * r + <float>0.5
    else:
        p = 1 / 6227020800.
        p = p * r + 1 / 479001600.
        p = p * r + 1 / 39916800.
        p = p * r + 1 / 3628800.
        p = p * r + 1 / 362880.
        p = p * r + 1 / 40320.
        p = p * r + 1 / 5040.
        p = p * r + 1 / 720.
        p = p * r + 1 / 120.
        p = p * r + 1 / 24.
        p = p * r + 1 / 6.
        p = p * r + 0.5
    return r + r * r * p


cdef inline real exp2_integer(real shifted, int half) noexcept nogil:
    """2^n, or one of the two near-equal factors whose product is 2^n, for the n in shifted's low bits.

    half = 0: 2^n for |n| within the exponent's range; 1: 2^floor(n/2); 2: 2^(n - floor(n/2)); 3: 2^(n-1).
    """
    cdef int32_t n
    cdef int64_t m
    if real is float:
        n = float_to_bits(shifted) - 0x4B400000
        n = n if half == 0 else n >> 1 if half == 1 else n - (n >> 1) if half == 2 else n - 1
        return bits_to_float((n + 127) << 23)
    else:
        m = double_to_bits(shifted) - 0x4338000000000000LL
        m = m if half == 0 else m >> 1 if half == 1 else m - (m >> 1) if half == 2 else m - 1
        return bits_to_double((m + 1023) << 52)


cdef inline real exp(real x) noexcept nogil:
    """e^x: inf above the largest exponent, 0 below the smallest, subnormal between."""
    cdef real r, shifted
    if real is float:
        x = <float>89.0 if x > <float>89.0 else x
        x = <float>-104.0 if x < <float>-104.0 else x
    else:
        x = 710.0 if x > 710.0 else x
        x = -746.0 if x < -746.0 else x
    shifted = exp_reduce(x, &r)
    return (1 + expm1_small(r)) * exp2_integer(shifted, 1) * exp2_integer(shifted, 2)


cdef inline real expm1(real x) noexcept nogil:
    """e^x - 1 without cancellation near 0:  2^n (e^r - 1) + (2^n - 1)."""
    cdef real r, shifted, half
    if real is float:
        x = <float>89.0 if x > <float>89.0 else x
        x = <float>-20.0 if x < <float>-20.0 else x
    else:
        x = 710.0 if x > 710.0 else x
        x = -40.0 if x < -40.0 else x
    shifted = exp_reduce(x, &r)
    half = exp2_integer(shifted, 3)         # 2^(n-1): 2^n itself may overflow where e^x does not
    return 2 * (half * expm1_small(r) + (half - <real>0.5))


cdef inline real tanh(real x) noexcept nogil:
    """tanh |x| = (1 - e) / (1 + e) with e = e^(-2|x|); near 0, 1 - e is taken as -(e - 1) without cancellation."""
    cdef real r, shifted, power, p, size = fabs(x)
    size = <real>20 if size > <real>20 else size            # tanh is 1 there, in both types
    shifted = exp_reduce(-2 * size, &r)
    power = exp2_integer(shifted, 0)
    p = power * expm1_small(r)
    size = (-(p + (power - 1)) if size < <real>0.5 else 1 - (p + power)) / (1 + (p + power))
    return copysign(size, x)


cdef inline real sigmoid(real x) noexcept nogil:
    """1 / (1 + e^-x) for x >= 0, e^x / (1 + e^x) below: the exponent is never positive."""
    cdef real e = exp(-fabs(x))
    return (e if x < 0 else <real>1) / (1 + e)


# -- ln x = n ln 2 + ln m,  m in [0.7071, 1.4142];  ln m = 2 atanh s = 2 (s + s^3/3 + s^5/5 + ...), s = (m-1)/(m+1) --

cdef inline real log(real x) noexcept nogil:
    """The natural logarithm: -inf at 0, nan below, inf at inf; right for subnormals."""
    cdef real tiny, scaled, n, m, s, s2, p, f
    cdef int32_t bits
    cdef int64_t wide
    if real is float:
        tiny = <float>1.17549435e-38
        scaled = x * <float>16777216.0 if x < tiny else x               # 2^24: out of the subnormals
        bits = float_to_bits(scaled) - 0x3F3504F3                        # sqrt(1/2): m starts there
        n = <float>(bits >> 23) - (<float>24.0 if x < tiny else <float>0.0)
        m = bits_to_float((bits & 0x007FFFFF) + 0x3F3504F3)
    else:
        tiny = 2.2250738585072014e-308
        scaled = x * 18014398509481984.0 if x < tiny else x             # 2^54
        wide = double_to_bits(scaled) - 0x3FE6A09E667F3BCDLL
        # The exponent as a real without a conversion instruction: its bits below those of 1.5 * 2^52.
        n = bits_to_double((wide >> 52) + 0x4338000000000000LL) - 6755399441055744.0
        n = n - (54.0 if x < tiny else 0.0)
        m = bits_to_double((wide & 0x000FFFFFFFFFFFFFLL) + 0x3FE6A09E667F3BCDLL)
    f = m - 1
    s = f / (m + 1)
    s2 = s * s
    if real is float:
        p = <float>(2 / 9.)
        p = p * s2 + <float>(2 / 7.)
        p = p * s2 + <float>(2 / 5.)
        p = p * s2 + <float>(2 / 3.)
    else:
        p = 2 / 21.
        p = p * s2 + 2 / 19.
        p = p * s2 + 2 / 17.
        p = p * s2 + 2 / 15.
        p = p * s2 + 2 / 13.
        p = p * s2 + 2 / 11.
        p = p * s2 + 2 / 9.
        p = p * s2 + 2 / 7.
        p = p * s2 + 2 / 5.
        p = p * s2 + 2 / 3.
    # 2s = f - f^2/2 + s f^2/2 exactly, so the large part f is not rounded by the division
    p = s * (f * f * <real>0.5 + s2 * p)
    if real is float:
        p = n * <float>0.693359375 + (f - (f * f * <float>0.5 - (p + n * <float>-2.12194440e-4)))
    else:
        p = n * 0.693147180369123816490 + (f - (f * f * 0.5 - (p + n * 1.90821492927058770002e-10)))
    p = x if not x < <real>INFINITY else p                               # inf and nan
    p = -<real>INFINITY if x == 0 else p
    return <real>NAN if x < 0 else p


cdef inline real log1p(real x) noexcept nogil:
    """ln(1 + x) without cancellation near 0: ln(u) x / (u - 1) with u = 1 + x as rounded."""
    cdef real u = 1 + x
    cdef real d = u - 1
    cdef real scaled = log(u) * (x / (<real>1 if d == 0 else d))
    scaled = x if d == 0 else scaled
    return log(u) if not u < <real>INFINITY else scaled
