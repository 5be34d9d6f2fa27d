import Glibc

/// A TCP connection over 127.0.0.1 whose other end, a thread of this process, sends back what
/// it receives: the least that any replicated write must wait for. Plain sockets, because the
/// question is what the system costs and not what a library adds.
final class LoopbackEcho {
  static let messageBytes = 64

  private let client: Int32
  private var server: LabThread?
  private var message = [UInt8](repeating: 1, count: LoopbackEcho.messageBytes)

  /// Errors: `io` when the system refuses a socket.
  init() throws(StorageError) {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard listener >= 0 else { throw LoopbackEcho.refused("socket") }
    defer { close(listener) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isListening = withUnsafeMutableBytes(of: &address) { bytes -> Bool in
      guard let pointer = bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self) else {
        return false
      }
      // Port 0: the system chooses a free one and tells which.
      return bind(listener, pointer, length) == 0 && listen(listener, 1) == 0
        && getsockname(listener, pointer, &length) == 0
    }
    guard isListening else { throw LoopbackEcho.refused("listen") }
    client = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    let isConnected = withUnsafeBytes(of: &address) { bytes -> Bool in
      guard let pointer = bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self) else {
        return false
      }
      return client >= 0 && connect(client, pointer, length) == 0
    }
    let accepted = isConnected ? accept(listener, nil, nil) : -1
    guard accepted >= 0 else {
      close(client)
      throw LoopbackEcho.refused("connect")
    }
    for descriptor in [client, accepted] {
      var on: Int32 = 1
      setsockopt(
        descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    }
    server = try LabThread(name: "loopback-echo") {
      var buffer = [UInt8](repeating: 0, count: LoopbackEcho.messageBytes)
      while LoopbackEcho.receive(accepted, &buffer) {
        if send(accepted, buffer, buffer.count, Int32(MSG_NOSIGNAL)) != buffer.count {
          break
        }
      }
      close(accepted)
    }
  }

  /// Sends a message and waits for its return.
  func roundTrip() throws(StorageError) {
    guard
      send(client, message, message.count, Int32(MSG_NOSIGNAL)) == message.count,
      LoopbackEcho.receive(client, &message)
    else { throw LoopbackEcho.refused("send") }
  }

  /// Ends the connection and the thread.
  func stop() {
    shutdown(client, Int32(SHUT_RDWR))
    server?.join()
    server = nil
    close(client)
  }

  private static func receive(_ descriptor: Int32, _ buffer: inout [UInt8]) -> Bool {
    var done = 0
    let wanted = buffer.count
    while done < wanted {
      let count = buffer.withUnsafeMutableBytes { bytes in
        bytes.baseAddress.map { recv(descriptor, $0 + done, wanted - done, 0) } ?? -1
      }
      if count <= 0 { return false }
      done += count
    }
    return true
  }

  private static func refused(_ what: String) -> StorageError {
    StorageError(
      .io, "loopback \(what) failed: \(String(cString: strerror(errno)))", errno: errno)
  }
}
