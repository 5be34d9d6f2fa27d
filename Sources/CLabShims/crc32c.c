#include "CLabShims.h"

#include <string.h>

#define POLYNOMIAL 0x82f63b78u  // Castagnoli, bit-reflected

static uint32_t table[8][256];
static uint32_t portable(uint32_t crc, const unsigned char *p, size_t n) {
  while (n >= 8) {
    uint32_t low = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                          (uint32_t)p[3] << 24);
    crc = table[7][low & 0xff] ^ table[6][(low >> 8) & 0xff] ^ table[5][(low >> 16) & 0xff] ^
          table[4][low >> 24] ^ table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
    p += 8;
    n -= 8;
  }
  while (n--) crc = (crc >> 8) ^ table[0][(crc ^ *p++) & 0xff];
  return crc;
}

uint32_t lab_crc32c_portable(uint32_t crc, const void *bytes, size_t length) {
  return ~portable(~crc, bytes, length);
}

// The instruction takes three cycles and can start every cycle: three lanes of a long block go
// side by side, and what a lane's checksum becomes behind the lanes after it is a linear map,
// kept in tables (after Adler's crc32c.c). The lengths suit pages, and blocks of a few KiB.
#define LONG_LANE 1360
#define SHORT_LANE 168

static uint32_t long_shift[4][256], short_shift[4][256];

/// Tables for: append `length` zero bytes.
static void make_shift(uint32_t shift[4][256], size_t length) {
  static const unsigned char zeros[LONG_LANE];
  for (int k = 0; k < 4; k++) {
    shift[k][0] = 0;
    for (int bit = 0; bit < 8; bit++)
      shift[k][1 << bit] = portable((uint32_t)1 << (8 * k + bit), zeros, length);
    for (int n = 1; n < 256; n++) shift[k][n] = shift[k][n & (n - 1)] ^ shift[k][n & -n];
  }
}

static inline uint32_t shifted(uint32_t shift[4][256], uint32_t crc) {
  return shift[0][crc & 0xff] ^ shift[1][(crc >> 8) & 0xff] ^ shift[2][(crc >> 16) & 0xff] ^
         shift[3][crc >> 24];
}

#if defined(__x86_64__)
#define HARDWARE __attribute__((target("sse4.2")))
#define CRC8(crc, value) (uint32_t)__builtin_ia32_crc32di(crc, value)
#define CRC4(crc, value) __builtin_ia32_crc32si(crc, value)
#define CRC2(crc, value) __builtin_ia32_crc32hi(crc, value)
#define CRC1(crc, value) __builtin_ia32_crc32qi(crc, value)

int lab_crc32c_is_hardware(void) { return __builtin_cpu_supports("sse4.2") != 0; }

#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#define HARDWARE
#define CRC8(crc, value) __crc32cd(crc, value)
#define CRC4(crc, value) __crc32cw(crc, value)
#define CRC2(crc, value) __crc32ch(crc, value)
#define CRC1(crc, value) __crc32cb(crc, value)

int lab_crc32c_is_hardware(void) { return 1; }

#else

int lab_crc32c_is_hardware(void) { return 0; }

#endif

#ifdef HARDWARE

HARDWARE static inline uint32_t lanes(uint32_t crc, const unsigned char *p, size_t lane,
                                      uint32_t shift[4][256]) {
  uint32_t second = 0, third = 0;
  for (size_t i = 0; i < lane; i += 8) {
    uint64_t a, b, c;
    memcpy(&a, p + i, 8);
    memcpy(&b, p + lane + i, 8);
    memcpy(&c, p + 2 * lane + i, 8);
    crc = CRC8(crc, a);
    second = CRC8(second, b);
    third = CRC8(third, c);
  }
  return shifted(shift, shifted(shift, crc) ^ second) ^ third;
}

HARDWARE static uint32_t hardware(uint32_t crc, const unsigned char *p, size_t n) {
  for (; n >= 3 * LONG_LANE; p += 3 * LONG_LANE, n -= 3 * LONG_LANE)
    crc = lanes(crc, p, LONG_LANE, long_shift);
  for (; n >= 3 * SHORT_LANE; p += 3 * SHORT_LANE, n -= 3 * SHORT_LANE)
    crc = lanes(crc, p, SHORT_LANE, short_shift);
  for (; n >= 8; p += 8, n -= 8) {
    uint64_t value;
    memcpy(&value, p, 8);
    crc = CRC8(crc, value);
  }
  if (n & 4) {
    uint32_t value;
    memcpy(&value, p, 4);
    crc = CRC4(crc, value);
    p += 4;
  }
  if (n & 2) {
    uint16_t value;
    memcpy(&value, p, 2);
    crc = CRC2(crc, value);
    p += 2;
  }
  return n & 1 ? CRC1(crc, *p) : crc;
}

#else

static uint32_t hardware(uint32_t crc, const unsigned char *p, size_t n) {
  return portable(crc, p, n);
}

#endif

static int use_hardware;

__attribute__((constructor)) static void initialise(void) {
  for (uint32_t n = 0; n < 256; n++) {
    uint32_t crc = n;
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ POLYNOMIAL : crc >> 1;
    table[0][n] = crc;
  }
  for (uint32_t n = 0; n < 256; n++)
    for (int k = 1; k < 8; k++)
      table[k][n] = (table[k - 1][n] >> 8) ^ table[0][table[k - 1][n] & 0xff];
  make_shift(long_shift, LONG_LANE);
  make_shift(short_shift, SHORT_LANE);
  use_hardware = lab_crc32c_is_hardware();
}

uint32_t lab_crc32c(uint32_t crc, const void *bytes, size_t length) {
  return use_hardware ? ~hardware(~crc, bytes, length) : ~portable(~crc, bytes, length);
}
