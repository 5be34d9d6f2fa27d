#include "CLabShims.h"

#include <string.h>

#define POLYNOMIAL 0x82f63b78u  // Castagnoli, bit-reflected

static uint32_t table[8][256];
static int use_hardware;

__attribute__((constructor)) static void initialise(void) {
  use_hardware = lab_crc32c_is_hardware();
  for (uint32_t n = 0; n < 256; n++) {
    uint32_t crc = n;
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ POLYNOMIAL : crc >> 1;
    table[0][n] = crc;
  }
  for (uint32_t n = 0; n < 256; n++)
    for (int k = 1; k < 8; k++)
      table[k][n] = (table[k - 1][n] >> 8) ^ table[0][table[k - 1][n] & 0xff];
}

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

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t hardware(uint32_t crc, const unsigned char *p,
                                                           size_t n) {
  uint64_t wide = crc;
  while (n >= 8) {
    uint64_t word;
    memcpy(&word, p, 8);
    wide = __builtin_ia32_crc32di(wide, word);
    p += 8;
    n -= 8;
  }
  crc = (uint32_t)wide;
  while (n--) crc = __builtin_ia32_crc32qi(crc, *p++);
  return crc;
}

int lab_crc32c_is_hardware(void) { return __builtin_cpu_supports("sse4.2") != 0; }

#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>

static uint32_t hardware(uint32_t crc, const unsigned char *p, size_t n) {
  while (n >= 8) {
    uint64_t word;
    memcpy(&word, p, 8);
    crc = __crc32cd(crc, word);
    p += 8;
    n -= 8;
  }
  while (n--) crc = __crc32cb(crc, *p++);
  return crc;
}

int lab_crc32c_is_hardware(void) { return 1; }

#else

static uint32_t hardware(uint32_t crc, const unsigned char *p, size_t n) {
  return portable(crc, p, n);
}

int lab_crc32c_is_hardware(void) { return 0; }

#endif

uint32_t lab_crc32c(uint32_t crc, const void *bytes, size_t length) {
  return use_hardware ? ~hardware(~crc, bytes, length) : ~portable(~crc, bytes, length);
}
