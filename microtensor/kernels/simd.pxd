"""exp, log, tanh and their kin as inline functions that a compiler can vectorise: no calls, no tables, no branches.

A loop such as `for i in range(n): y[i] = exp(x[i])` becomes vector code when exp is straight-line arithmetic.
Each function is one fused source for float and double; conditions are written as `a if c else b`, which compiles to
a blend; and every condition is written so that nan falls through to the result. A constant is `<real>1`, never a
bare 1: to C that is a double, and would make a float loop compute in doubles at half the speed.

Errors in ulp against the true value, the largest of ten million arguments over the whole domain, held to by
tests/test_simd.py (power: tests/test_arithmetic.py):

             exp    expm1   log    log1p   tanh   sigmoid   normal_cdf   power
    float    0.94   1.52    0.86   1.40    1.91   1.91      4.57         0.50
    double   0.89   1.56    0.84   1.31    1.72   1.89      4.80         libm's
"""

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    /* Inline always: left to itself, the compiler calls a function that a module uses a second time, and a loop
       with a call in it is not vectorised. */
    #if defined(__GNUC__)
    #undef CYTHON_INLINE
    #define CYTHON_INLINE __inline__ __attribute__((__unused__, __always_inline__))
    #define prefetch(address) __builtin_prefetch(address)
    #else
    #define prefetch(address)
    #endif

    /* The same bits, read as another type. Unsigned, as that may wrap around, and shifts right in any vector unit. */
    static CYTHON_INLINE uint32_t float_to_bits(float x)   { uint32_t b; memcpy(&b, &x, 4); return b; }
    static CYTHON_INLINE uint64_t double_to_bits(double x) { uint64_t b; memcpy(&b, &x, 8); return b; }
    static CYTHON_INLINE float   bits_to_float(uint32_t b) { float x;  memcpy(&x, &b, 4); return x; }
    static CYTHON_INLINE double  bits_to_double(uint64_t b) { double x; memcpy(&x, &b, 8); return x; }
    """
    void prefetch(const void* address) noexcept nogil       # ask for its cache line, without waiting for it
    ctypedef unsigned int uint32_t
    ctypedef unsigned long long uint64_t
    uint32_t float_to_bits(float x) noexcept nogil
    uint64_t double_to_bits(double x) noexcept nogil
    float bits_to_float(uint32_t b) noexcept nogil
    double bits_to_double(uint64_t b) noexcept nogil

cdef enum:
    LINE = 64                   # bytes of a cache line

cdef extern from "<math.h>" nogil:
    float _sqrt "sqrtf"(float x)
    double _sqrt_double "sqrt"(double x)
    float _fabs "fabsf"(float x)
    double _fabs_double "fabs"(double x)
    float _copysign "copysignf"(float x, float y)
    double _copysign_double "copysign"(double x, double y)
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


# -- e^x = 2^n e^r,  n = round(x / ln 2),  r = x - n ln 2 in [-0.347, 0.347] ------------------------------------
#
# n: adding 1.5 * 2^(mantissa bits) leaves n in the low bits of the sum; subtracting it again gives n as a real.
# r: ln 2 = high + low, high with so few bits that x - n high is exact; r is that less n low.
# e^r - 1 = r + r^2/2! + r^3/3! + ...: the terms that are left out are below 1/10 ulp. The others are taken in pairs, by
#    powers of r^2: half as many steps that wait for one another. Of the leading r the exact x - n high is added
#    last, and n low with the small terms, so that rounding r costs nothing.

cdef inline real expm1_of_remainder(real x, real* shifted) noexcept nogil:
    """e^r - 1, and the real that holds n in its low bits."""
    cdef real n, exact, low, r, r2, p
    if real is float:
        shifted[0] = x * <float>1.44269504 + <float>12582912.0
        n = shifted[0] - <float>12582912.0
        exact = x - n * <float>0.693359375
        low = n * <float>2.12194440e-4
        r = exact + low
        r2 = r * r
        p = <float>(1 / 720.) + r * <float>(1 / 5040.)
        p = <float>(1 / 24.) + r * <float>(1 / 120.) + r2 * p
        p = <float>(1 / 2.) + r * <float>(1 / 6.) + r2 * p
    else:
        shifted[0] = x * 1.4426950408889634 + 6755399441055744.0
        n = shifted[0] - 6755399441055744.0
        exact = x - n * 0.693147180369123816490
        low = n * -1.90821492927058770002e-10
        r = exact + low
        r2 = r * r
        p = 1 / 479001600. + r * (1 / 6227020800.)
        p = 1 / 3628800. + r * (1 / 39916800.) + r2 * p
        p = 1 / 40320. + r * (1 / 362880.) + r2 * p
        p = 1 / 720. + r * (1 / 5040.) + r2 * p
        p = 1 / 24. + r * (1 / 120.) + r2 * p
        p = 1 / 2. + r * (1 / 6.) + r2 * p
    return exact + (r2 * p + low)


cdef inline real exp2_integer(real shifted) noexcept nogil:
    """2^n for the n in shifted's low bits, within the exponent's range: n + bias, moved to where the exponent is."""
    if real is float:
        return bits_to_float((float_to_bits(shifted) - (0x4B400000 - 127)) << 23)
    else:
        return bits_to_double((double_to_bits(shifted) - (0x4338000000000000ULL - 1023)) << 52)


cdef inline real scaled(real x, real shifted) noexcept nogil:
    """x 2^n, also where 2^n overflows or is subnormal: by 2^floor(n/2), and by the rest."""
    cdef uint32_t n, half
    cdef uint64_t wide, wide_half
    if real is float:
        n = float_to_bits(shifted) - (0x4B400000 - 2 * 127)
        half = n >> 1
        return x * bits_to_float(half << 23) * bits_to_float((n - half) << 23)
    else:
        wide = double_to_bits(shifted) - (0x4338000000000000ULL - 2 * 1023)
        wide_half = wide >> 1
        return x * bits_to_double(wide_half << 52) * bits_to_double((wide - wide_half) << 52)


cdef inline real exp_negative(real x) noexcept nogil:
    """e^x for x <= 0: 0 below the smallest exponent, subnormal just above it."""
    cdef real shifted, p = expm1_of_remainder(x, &shifted)
    return <real>0 if x < (<real>-104 if sizeof(real) == 4 else <real>-746) else scaled(p + <real>1, shifted)


cdef inline real exp(real x) noexcept nogil:
    """e^x: inf above the largest exponent, 0 below the smallest, subnormal between."""
    cdef real y = exp_negative(x)               # right for positive x too, up to where n is too large
    return <real>INFINITY if x > (<real>89 if sizeof(real) == 4 else <real>710) else y


cdef inline real expm1(real x) noexcept nogil:
    """e^x - 1 without cancellation near 0:  2^n (e^r - 1) + (2^n - 1)."""
    cdef real half, shifted, p = expm1_of_remainder(x, &shifted)
    half = exp2_integer(shifted - <real>1)      # 2^(n-1): 2^n itself may overflow where e^x does not
    p = half * p + (half - <real>0.5)           # halved and doubled, which costs subnormals a bit
    p = <real>INFINITY if x > (<real>89 if sizeof(real) == 4 else <real>710) else p + p
    return <real>-1 if x < (<real>-20 if sizeof(real) == 4 else <real>-40) else p


# tanh |x| = (1 - e) / (1 + e) = -t / (2 + t) = 1 - 2 e / (1 + e),  e = e^(-2|x|),  t = e - 1 without cancellation
#
# The last form where it is above 1/2: what is subtracted from 1 is below 1/2, and so is its error. Elsewhere the one
# before, and what rounding loses of both sums is put back: for q = t / d, d = 2 + t,
#    (t + a) / (d + b) = q + (a - q b) / d  to first order,  and 1 / d = (1 - q) / 2.

cdef inline real tanh(real x) noexcept nogil:
    """The hyperbolic tangent: 1 from 20 on, x near 0."""
    cdef real power, t, d, a, b, q, near, far, shifted, size = fabs(x)
    cdef real p = expm1_of_remainder(-size - size, &shifted)
    power = exp2_integer(shifted)
    p = power * p
    t = p + (power - <real>1)
    a = p - (t - (power - <real>1))
    d = t + <real>2
    b = a + (t - (d - <real>2))
    q = (t if size < <real>0.55 else p + power) / d         # t is never positive: the sign of q says which it is
    far = <real>1 - (q + q)
    near = -(q + (a - q * b) * (<real>0.5 - <real>0.5 * q))
    q = far if q > 0 else near
    return copysign(<real>1 if size > <real>20 else q, x)


# s(-|x|) = e / (1 + e) and s(|x|) = 1 - s(-|x|),  e = e^-|x|
#
# The sum d = 1 + e is rounded: with the part c of e that it lost, e / (d + c) = q - q c / d for q = e / d, and
# 1 / d = 1 - q.

cdef inline real sigmoid(real x) noexcept nogil:
    """1 / (1 + e^-x); the exponent is never positive."""
    cdef real e = exp_negative(-fabs(x))
    cdef real d = e + <real>1
    cdef real c = e - (d - <real>1)
    cdef real q = e / d
    q = q - q * c * (<real>1 - q)
    return q if x < 0 else <real>1 - q


# -- the normal distribution: F(x), the integral from -inf to x of the density e^(-x^2/2) / sqrt(2 pi) -----------
#
# For t = |x|:  F(-t) = e^(-t^2/2) w P(q),  w = 1 / (t + 5),  q = (t - 5) w in [-1, 0.78),  and F(t) = 1 - F(-t)
#
# F(-t) without its exponential falls like 1/t: w has that factor, and P is smooth. P interpolates at the
# Chebyshev nodes of the q where F(-t) is not 0 in the dtype, to 1/10 ulp. So F keeps its digits far to the left, where
# (1 + erf(x / sqrt 2)) / 2 has lost them all.

cdef inline real gaussian(real t) noexcept nogil:
    """e^(-t^2/2) for t from 0 to 39, to a few ulp also where it is tiny.

    The exponential multiplies a rounding of t^2 by t^2/2. So t = h + l, h with half of the digits and an exact square:
    t^2/2 = h^2/2 + s, s = l (t + h) / 2, and 1 - e^-s = s - s^2/2 + s^3/6 - s^4/24 for s < 0.05.
    """
    cdef real h, s, lost, e
    if real is float:
        h = bits_to_float((float_to_bits(t) + 0x800) >> 12 << 12)
        s = (t - h) * (t + h) * <float>0.5
        lost = s - s * s * (<float>0.5 - s * (<float>(1 / 6.) - s * <float>(1 / 24.)))
    else:
        h = bits_to_double((double_to_bits(t) + 0x4000000) >> 27 << 27)
        s = (t - h) * (t + h) * 0.5
        lost = s - s * s * (0.5 - s * (1 / 6. - s * (1 / 24.)))
    e = exp_negative(h * h * <real>-0.5)
    return e - e * lost


cdef inline real normal_cdf(real x, real* density) noexcept nogil:
    """F(x), relative to its size as good for negative x as for positive, and the density at x."""
    cdef real t = fabs(x), e, w, q, q2, p
    t = t if not t > <real>39 else <real>39     # there F is 0, and at inf q would be nan
    e = gaussian(t)
    density[0] = e * <real>0.39894228040143267794
    w = <real>1 / (t + <real>5)
    q = (t + t) * w - <real>1           # rounded least near 0, where P is steepest
    q2 = q * q
    if real is float:
        p = <float>-1.01011749280929493e-3 + q * <float>3.86805136426701399e-4
        p = <float>2.08924443461459878e-2 + q * <float>-2.97563394899790983e-3 + q2 * p
        p = <float>1.65004575306112575e-1 + q * <float>-6.91070247902338497e-2 + q2 * p
        p = <float>4.95306524175932812e-1 + q * <float>-3.13535225876759833e-1 + q2 * p
        p = <float>7.69193040818413055e-1 + q * <float>-6.65382438591455317e-1 + q2 * p
    else:
        p = 1.7731341444064477e-9 + q * -1.51963981496988322e-10
        p = -9.36574388857191676e-9 + q * 7.66259277328786389e-9 + q2 * p
        p = 4.23302482694496383e-8 + q * -6.59728752779481619e-8 + q2 * p
        p = -3.36645427134603529e-7 + q * 4.33191137613542845e-7 + q2 * p
        p = 3.98091055181014879e-6 + q * -2.76930507178273702e-6 + q2 * p
        p = -4.97628150696291379e-5 + q * 1.66812302209359371e-5 + q2 * p
        p = 5.44899064608407827e-4 + q * -5.93757323369874401e-5 + q2 * p
        p = -2.99337677045527342e-3 + q * -7.97869397781210713e-4 + q2 * p
        p = -6.91186387063155585e-2 + q * 2.07950667998211273e-2 + q2 * p
        p = -3.13533156671304334e-1 + q * 1.65020366170387576e-1 + q2 * p
        p = -6.65382502890056703e-1 + q * 4.95305615969976362e-1 + q2 * p
        p = 7.69193049750062959e-1 + q * p
    p = e * (w * p)
    return p if x < 0 else <real>1 - p


# -- ln x = n ln 2 + ln m,  m in [0.7071, 1.4142] -----------------------------------------------------------------
#
# ln m = 2 atanh s = 2 (s + s^3/3 + s^5/5 + ...),  s = f / (2 + f),  f = m - 1
# and 2 s = f - s f, exactly: so the large part f is not rounded by the division.

cdef inline real log_reduce(real x, real* n) noexcept nogil:
    """The m and n of a normal x: the exponent, counted from sqrt(1/2), and the mantissa."""
    cdef uint32_t bits
    cdef uint64_t wide
    if real is float:
        bits = float_to_bits(x) + (0x3F800000 - 0x3F3504F3)
        n[0] = <float><int>(bits >> 23) - <float>127.0
        return bits_to_float((bits & 0x007FFFFF) + 0x3F3504F3)
    else:
        wide = double_to_bits(x) + (0x3FF0000000000000ULL - 0x3FE6A09E667F3BCDULL)
        # The exponent as a real without a conversion instruction: as the low bits of 2^52.
        n[0] = bits_to_double((wide >> 52) | 0x4330000000000000ULL) - (4503599627370496.0 + 1023.0)
        return bits_to_double((wide & 0x000FFFFFFFFFFFFFULL) + 0x3FE6A09E667F3BCDULL)


cdef inline real log_sum(real n, real f) noexcept nogil:
    """n ln 2 + ln(1 + f)."""
    cdef real s = f / (f + <real>2)
    cdef real s2 = s * s, p
    cdef real s4 = s2 * s2
    if real is float:
        p = <float>(2 / 7.) + s2 * <float>(2 / 9.)
        p = <float>(2 / 3.) + s2 * <float>(2 / 5.) + s4 * p
    else:
        p = 2 / 19. + s2 * (2 / 21.)
        p = 2 / 15. + s2 * (2 / 17.) + s4 * p
        p = 2 / 11. + s2 * (2 / 13.) + s4 * p
        p = 2 / 7. + s2 * (2 / 9.) + s4 * p
        p = 2 / 3. + s2 * (2 / 5.) + s4 * p
    cdef real square = f * f * <real>0.5
    p = s * (square + s2 * p)
    if real is float:
        return n * <float>0.693359375 + (f - (square - (p + n * <float>-2.12194440e-4)))
    else:
        return n * 0.693147180369123816490 + (f - (square - (p + n * 1.90821492927058770002e-10)))


cdef inline real log(real x) noexcept nogil:
    """The natural logarithm: -inf at 0, nan below, inf at inf; right for subnormals."""
    cdef real n, m, y
    if real is float:
        m = log_reduce(x * <float>16777216.0 if x < <float>1.17549435e-38 else x, &n)          # 2^24
        n = n - <float>24.0 if x < <float>1.17549435e-38 else n
    else:
        m = log_reduce(x * 18014398509481984.0 if x < 2.2250738585072014e-308 else x, &n)      # 2^54
        n = n - 54.0 if x < 2.2250738585072014e-308 else n
    y = log_sum(n, m - <real>1)
    y = x if not x < <real>INFINITY else y                               # inf and nan
    y = -<real>INFINITY if x == 0 else y
    return <real>NAN if x < 0 else y


cdef inline real log1p(real x) noexcept nogil:
    """ln(1 + x) without cancellation near 0: what the sum u = 1 + x loses of x goes into f, divided by 2^n as m is."""
    cdef real n, m, lost, y, u = x + <real>1
    m = log_reduce(u, &n)
    lost = x - (u - <real>1)
    if real is float:
        y = log_sum(n, (m - <float>1.0) + lost * <float>0.5 * exp2_integer(<float>12582913.0 - n))
    else:
        y = log_sum(n, (m - 1.0) + lost * 0.5 * exp2_integer(6755399441055745.0 - n))
    y = x if not x < <real>INFINITY else y                              # inf and nan
    y = x if u == <real>1 else y
    y = -<real>INFINITY if u == 0 else y
    return <real>NAN if u < 0 else y


# -- x^y = e^(y ln |x|), with a sign where y is odd ----------------------------------------------------------------
#
# The exponential multiplies the rounding of y ln |x|, a number up to 104 in float, by that number. So floats are
# computed in doubles, whose rounding is 2^29 times finer: what is left is the last rounding. For doubles it is libm's
# function. Special cases are C's (C99, F.9.4.4).

cdef inline double fraction(double y) noexcept nogil:
    """The distance from y, a float or half of one, to the nearest integer: 0 from 2^24 on."""
    cdef double size = fabs(y)
    size = size if size < 16777216.0 else 16777216.0
    return fabs((size + 6755399441055744.0) - 6755399441055744.0 - size)


cdef inline real power(real x, real y) noexcept nogil:
    """x^y: nan for x < 0 where y is no integer; 1 for y = 0 and for x = 1, also of nan."""
    cdef double base, size, exponent, invalid, p
    if real is float:
        base, exponent = x, y
        size = fabs(base)
        exponent = copysign(1e300, exponent) if fabs(exponent) == INFINITY else exponent        # inf ln 1 would be nan
        p = exp(exponent * log(size))
        p = 1. if exponent == 0 else p
        p = 1. if base == 1 else p
        p = copysign(p, base) if fraction(0.5 * exponent) == 0.5 else p         # y is odd
        invalid = fraction(exponent) if base < 0 else 0.
        invalid = invalid if size < INFINITY else 0.
        p = <double>NAN if invalid > 0 else p
        return <float>p
    else:
        return _pow_double(x, y)
