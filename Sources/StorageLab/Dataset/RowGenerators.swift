// The generated datasets, one generator each. All text is ASCII; decimal numbers that stand
// in keys are zero-padded, so that the order of bytes is the order of numbers.

/// 2026-01-01T00:00:00Z in milliseconds: the generators' clock starts there, never at "now".
private let epochMilliseconds: UInt64 = 1_767_225_600_000

/// `user` and a hashed number, ten fields of letters.
struct YCSBRows: RowGenerator {
  private var random: SeededRandom

  init(seed: UInt64) { random = SeededRandom(seed: seed) }

  mutating func appendRow(_ index: Int, to line: inout [UInt8]) {
    line.append(contentsOf: "user".utf8)
    line.appendDecimal(Hash64.hash(UInt64(index)), width: 20)
    for _ in 0..<10 {
      line.append(UInt8(ascii: "\t"))
      line.appendLetters(100, &random)
    }
  }
}

/// ULIDs (github.com/ulid/spec): 48 bits of milliseconds, 80 random bits, in Crockford's
/// base 32; inside one millisecond the random part counts up, so that the order is strict.
struct TimeOrderedRows: RowGenerator {
  private var random: SeededRandom
  private var milliseconds = epochMilliseconds
  private var high: UInt64 = 0
  private var low: UInt64 = 0

  init(seed: UInt64) { random = SeededRandom(seed: seed) }

  mutating func appendRow(_ index: Int, to line: inout [UInt8]) {
    // About two thousand identifiers a second.
    let step = random.below(10) < 8 ? 0 : UInt64(1 + random.below(4))
    if step > 0 || index == 0 {
      milliseconds += step
      // The top bit stays clear, so that counting up cannot overflow.
      high = random.next() & 0x7fff
      low = random.next()
    } else {
      let (sum, overflow) = low.addingReportingOverflow(1 + (random.next() & 0xffff))
      low = sum
      high += overflow ? 1 : 0
    }
    line.appendBase32(milliseconds, digits: 10)
    // 80 bits are twice 40: eight digits each.
    line.appendBase32(high << 24 | low >> 40, digits: 8)
    line.appendBase32(low & 0xff_ffff_ffff, digits: 8)
    line.append(UInt8(ascii: "\t"))
    line.append(contentsOf: ["view", "cart", "order", "refund"][random.below(4)].utf8)
    line.append(UInt8(ascii: "\t"))
    line.appendDecimal(UInt64(random.below(100_000)))
  }
}

/// UUIDs version 4, variant 1 (RFC 9562).
struct UUIDRows: RowGenerator {
  private var random: SeededRandom

  init(seed: UInt64) { random = SeededRandom(seed: seed) }

  mutating func appendRow(_ index: Int, to line: inout [UInt8]) {
    let high = random.next() & ~0xf000 | 0x4000
    let low = random.next() & ~(0b11 << 62) | 0b10 << 62
    line.appendHexadecimal(high >> 32, digits: 8)
    line.append(UInt8(ascii: "-"))
    line.appendHexadecimal(high >> 16 & 0xffff, digits: 4)
    line.append(UInt8(ascii: "-"))
    line.appendHexadecimal(high & 0xffff, digits: 4)
    line.append(UInt8(ascii: "-"))
    line.appendHexadecimal(low >> 48, digits: 4)
    line.append(UInt8(ascii: "-"))
    line.appendHexadecimal(low & 0xffff_ffff_ffff, digits: 12)
    line.append(UInt8(ascii: "\t"))
    line.appendHexadecimal(Hash64.hash(high ^ low), digits: 16)
  }
}

/// Seven-digit codes (a bijection of the row number, so that none comes twice) and URLs.
struct URLRows: RowGenerator {
  private static let alphabet = Array(
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)
  private static let codes: UInt64 = 3_521_614_606_208  // 62^7
  private static let hosts = ["news", "shop", "docs", "video", "blog", "forum", "maps", "wiki"]
  private static let domains = ["example.com", "example.org", "example.net", "test.example"]

  private var random: SeededRandom
  private let offset: UInt64

  init(seed: UInt64) {
    random = SeededRandom(seed: seed)
    offset = Hash64.hash(seed) % URLRows.codes
  }

  mutating func appendRow(_ index: Int, to line: inout [UInt8]) {
    // An odd multiplier not divisible by 31 has no factor in common with 62^7 = 2^7 · 31^7,
    // so multiplying modulo 62^7 maps the rows one to one.
    let (high, low) = (UInt64(index) % URLRows.codes).multipliedFullWidth(by: 2_654_435_761_127)
    var code = (URLRows.codes.dividingFullWidth((high, low)).remainder + offset) % URLRows.codes
    let start = line.count
    line.append(contentsOf: repeatElement(0, count: 7))
    for position in stride(from: 6, through: 0, by: -1) {
      line[start + position] = URLRows.alphabet[Int(code % 62)]
      code /= 62
    }
    line.append(contentsOf: "\thttps://".utf8)
    line.append(contentsOf: URLRows.hosts[random.below(URLRows.hosts.count)].utf8)
    line.append(UInt8(ascii: "."))
    line.append(contentsOf: URLRows.domains[random.below(URLRows.domains.count)].utf8)
    for _ in 0..<1 + random.below(4) {
      line.append(UInt8(ascii: "/"))
      line.appendLetters(3 + random.below(12), &random)
    }
    line.append(UInt8(ascii: "\t"))
    line.appendDecimal(epochMilliseconds + UInt64(index) * 137)
    line.append(UInt8(ascii: "\t"))
    // Pareto with exponent 1: half of the links have one click, a few have thousands.
    line.appendDecimal(UInt64(min(1 / max(random.unit(), 1e-7), 1e7)))
  }
}

/// Orders by tenant. Tenant 0 is the whale; the others are zipfian. Each tenant's orders are
/// numbered in their order of arrival, so keys ascend within a tenant.
struct OrderRows: RowGenerator {
  static let tenants = 1_000
  static let whaleShare = 0.4

  private var random: SeededRandom
  private let zipf = Zipfian(count: OrderRows.tenants - 1)
  private var next = [UInt32](repeating: 0, count: OrderRows.tenants)

  init(rows: Int, seed: UInt64) { random = SeededRandom(seed: seed) }

  mutating func appendRow(_ index: Int, to line: inout [UInt8]) {
    let tenant = random.chance(OrderRows.whaleShare) ? 0 : 1 + zipf.next(&random)
    next[tenant] += 1
    line.append(contentsOf: "tenant".utf8)
    line.appendDecimal(UInt64(tenant), width: 4)
    line.append(UInt8(ascii: "/"))
    line.appendDecimal(UInt64(next[tenant]), width: 10)
    line.append(UInt8(ascii: "\t"))
    line.append(contentsOf: ["new", "paid", "packed", "sent", "returned"][random.below(5)].utf8)
    line.append(UInt8(ascii: "\t"))
    line.appendDecimal(UInt64(1 + random.below(12)))
    line.append(UInt8(ascii: "\t"))
    line.appendDecimal(UInt64(199 + random.below(50_000)))
    line.append(UInt8(ascii: "\t"))
    line.append(contentsOf: ["EUR", "USD", "JPY", "BRL", "INR"][random.below(5)].utf8)
  }
}

/// One reading of each of 1,000 devices per round, ten seconds apart with jitter.
struct SensorRows: RowGenerator {
  static let devices = 1_000

  private var random: SeededRandom
  private var temperature = [Int16](repeating: 200, count: SensorRows.devices)

  init(seed: UInt64) { random = SeededRandom(seed: seed) }

  mutating func appendRow(_ index: Int, to line: inout [UInt8]) {
    let device = index % SensorRows.devices
    let round = index / SensorRows.devices
    temperature[device] = max(-400, min(600, temperature[device] + Int16(random.below(7)) - 3))
    line.append(contentsOf: "device".utf8)
    line.appendDecimal(UInt64(device), width: 4)
    line.append(UInt8(ascii: "/"))
    line.appendDecimal(
      epochMilliseconds + UInt64(round) * 10_000 + UInt64(random.below(9_000)), width: 13)
    line.append(UInt8(ascii: "\t"))
    let tenths = Int(temperature[device])
    if tenths < 0 { line.append(UInt8(ascii: "-")) }
    line.appendDecimal(UInt64(abs(tenths) / 10))
    line.append(UInt8(ascii: "."))
    line.appendDecimal(UInt64(abs(tenths) % 10))
    line.append(UInt8(ascii: "\t"))
    line.appendDecimal(UInt64(20 + random.below(75)))
    line.append(UInt8(ascii: "\t"))
    line.appendDecimal(UInt64(max(5, 100 - round / 400)))
    line.append(UInt8(ascii: "\t"))
    line.appendDecimal(UInt64(round))
  }
}

extension Array where Element == UInt8 {
  /// Decimal digits, zero-padded to `width`.
  mutating func appendDecimal(_ value: UInt64, width: Int = 1) {
    appendDigits(value, radix: 10, width: width, alphabet: lowercaseDigits)
  }

  mutating func appendHexadecimal(_ value: UInt64, digits: Int) {
    appendDigits(value, radix: 16, width: digits, alphabet: lowercaseDigits)
  }

  /// Crockford's base 32: no I, L, O, U; its byte order is the numbers' order.
  mutating func appendBase32(_ value: UInt64, digits: Int) {
    appendDigits(value, radix: 32, width: digits, alphabet: crockfordDigits)
  }

  private mutating func appendDigits(
    _ value: UInt64, radix: UInt64, width: Int, alphabet: [UInt8]
  ) {
    let start = count
    var rest = value
    while rest > 0 || count - start < width {
      append(alphabet[Int(rest % radix)])
      rest /= radix
    }
    self[start...].reverse()
  }

  mutating func appendLetters(_ length: Int, _ random: inout SeededRandom) {
    var bits: UInt64 = 0
    for index in 0..<length {
      if index % 8 == 0 { bits = random.next() }
      // 32 symbols: letters and a few repeated vowels.
      append(letterSymbols[Int(bits & 31)])
      bits >>= 8
    }
  }
}

private let lowercaseDigits = [UInt8]("0123456789abcdef".utf8)
private let crockfordDigits = [UInt8]("0123456789ABCDEFGHJKMNPQRSTVWXYZ".utf8)
private let letterSymbols = [UInt8]("abcdefghijklmnopqrstuvwxyzaeioun".utf8)
