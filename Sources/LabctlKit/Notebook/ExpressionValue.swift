import Foundation
import StorageLab

/// What an expression stands for while it is evaluated.
enum ExpressionValue {
  case figure(Figure)
  case truth(Truth)
  case text(String)
  case list([ExpressionValue])
  /// A part of a cell's result; `member` is the name that led to it.
  case json(JSONValue, member: String)
  /// A benchmark's run, a workload of it, an engine in that.
  case bundle(RunBundle, JSONValue)
  case sweep(Sweep, JSONValue)
  case workload(RunBundle.WorkloadResult)
  case engine(RunBundle.EngineResult, RunBundle.WorkloadResult)

  /// What it is, for messages.
  var kind: String {
    switch self {
    case .figure: "a figure"
    case .truth: "true or false"
    case .text: "a text"
    case .list: "a list"
    case .json: "a part of a result"
    case .bundle: "a benchmark's run"
    case .sweep: "a sweep"
    case .workload: "a workload"
    case .engine: "an engine's measurements"
    }
  }

  /// A cell's output: benchmark runs and sweeps are known by their shape.
  init(result: JSONValue, bytes: [UInt8]) {
    struct Sweeping: Decodable { let sweep: Sweep }
    if result["sweep"]?["points"] != nil,
      let sweeping = try? JSONDecoder().decode(Sweeping.self, from: Data(bytes))
    {
      self = .sweep(sweeping.sweep, result)
      return
    }
    if result["workloads"] != nil, result["configuration"] != nil,
      let bundle = try? RunBundle(decoding: bytes, path: "")
    {
      self = .bundle(bundle, result)
    } else {
      self = .json(result, member: "")
    }
  }

  /// A figure where this is one: a number, a measurement, or a list of one of these.
  var figure: Figure? {
    switch self {
    case .figure(let figure): figure
    case .json(.list(let elements), let member) where elements.count == 1:
      ExpressionValue.json(elements[0], member: member).figure
    case .json(let value, let member): value.figure(member: member)
    case .list(let values) where values.count == 1: values[0].figure
    default: nil
    }
  }

  var text: String? {
    switch self {
    case .text(let text): text
    case .json(.text(let text), _): text
    case .list(let values) where values.count == 1: values[0].text
    default: nil
    }
  }

  var truth: Truth? {
    switch self {
    case .truth(let truth): truth
    case .json(.boolean(let value), _): Truth(value)
    default: nil
    }
  }

  /// The elements of a list; nil for anything else.
  var elements: [ExpressionValue]? {
    switch self {
    case .list(let values): values
    case .json(.list(let values), let member): values.map { .json($0, member: member) }
    default: nil
    }
  }
}

extension Sweep {
  /// Where the points lie on the axis, those without a measure as 0, 1, 2 …
  var positions: [Double] {
    points.enumerated().map { $0.element.position ?? Double($0.offset) }
  }

  /// An engine at each point, by its name in the sweep; nil when it is none of them.
  func engine(_ name: String) -> [ExpressionValue]? {
    guard let place = engines.firstIndex(of: name) else { return nil }
    return points.compactMap { point in
      point.result.engines.indices.contains(place)
        ? .engine(point.result.engines[place], point.result) : nil
    }
  }
}

extension RunBundle {
  /// The workload that names of engines refer to: the last one that was asked for.
  var lastWorkload: WorkloadResult? {
    workloads.last { !$0.isPreparation } ?? workloads.last
  }
}
