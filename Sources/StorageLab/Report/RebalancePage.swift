import Foundation

/// A move between shards as one HTML page that needs nothing else: the verdict, charts over time, and a
/// replay that can be stopped and pulled.
public enum RebalancePage {
  /// `copy`: of the shards' files, for comparison.
  public static func html(
    _ result: RebalanceRun.Result, _ copy: PlainCopy.Result? = nil
  ) throws -> String {
    var body = "<h1>\(HTMLPage.escaped(result.title))</h1>\n"
    body += "<p class=\"verdict\">\(HTMLPage.escaped(verdict(result)))</p>\n<dl>\n"
    for (label, text) in facts(result, copy) {
      body += "<dt>\(HTMLPage.escaped(label))</dt><dd>\(HTMLPage.escaped(text))</dd>\n"
    }
    body += "</dl>\n<h2>Replay</h2>\n" + (try replay(result))
    body += "<h2>Over time</h2>\n<div class=\"charts\">\n"
    for chart in charts(result) { body += chart.svg }
    body += "</div>\n<h2>Foreground</h2>\n"
    body += HTMLPage.table(stageColumns, stageRows(result))
    body += "<h2>Phase by phase</h2>\n" + HTMLPage.table(phaseColumns, phaseRows(result))
    body += "<h2>Load of the shards</h2>\n" + HTMLPage.table(loadColumns, loadRows(result))
    body += "<h2>Events</h2>\n"
    body += "<div class=\"words\">\n"
    body += HTMLPage.table(
      ["second", "event"], result.events.map { [String(format: "%.3f", $0.seconds), $0.text] })
    body += "</div>\n"
    return HTMLPage.document(title: "Rebalance: \(result.title)", body: body)
  }

  // MARK: Words

  /// The last line: what was lost, and what it cost.
  public static func verdict(_ result: RebalanceRun.Result) -> String {
    let misplaced = result.strays > 0 ? ", \(result.strays) left behind" : ""
    return
      "lost \(result.lost), duplicated \(result.duplicated), stale \(result.stale)\(misplaced), "
      + "moved \(result.moved) of \(result.keys) keys against a minimum of "
      + "\(Int(result.minimum.rounded())), slowdown \(Quantity.times(result.slowdown)) (p99)"
  }

  public static func facts(
    _ result: RebalanceRun.Result, _ copy: PlainCopy.Result? = nil
  ) -> [(label: String, text: String)] {
    let migration = result.migration
    func milliseconds(_ nanoseconds: UInt64) -> String {
      ChartUnit.nanoseconds.text(Double(nanoseconds))
    }
    var facts = [
      ("engine", "\(result.engine), durability \(result.durability)"),
      (
        "data",
        "\(result.keys) keys with values of \(result.valueBytes) B, seed \(result.seed)"
      ),
      (
        "load",
        result.rate > 0
          ? "\(Int(result.rate)) requests a second, half of them reads, timed from when they were due"
          : "requests as fast as they go, half of them reads"
      ),
      (
        "moved",
        "\(ChartUnit.bytes.text(Double(migration.copiedBytes))) in "
          + "\(milliseconds(migration.backfillNanoseconds)) of backfill, "
          + "\(ChartUnit.bytes.text(migration.bytesPerSecond))/s"
      ),
      (
        "compared",
        "\(migration.comparison.keys) keys in \(migration.comparison.passes) "
          + (migration.comparison.passes == 1 ? "pass, " : "passes, ")
          + "\(migration.comparison.differences) differences repaired"
      ),
      (
        "overtaken", "\(migration.overtakenKeys) rows were written while their chunk was on its way"
      ),
      (
        "held back",
        "\(milliseconds(migration.longestSwitchNanoseconds)) at the longest, for a change of phase"
      ),
      ("refused", "\(result.refused) requests by an old map, asked again"),
    ]
    if let copy, migration.copiedBytes > 0 {
      facts.insert(
        (
          "plain copy",
          "\(ChartUnit.bytes.text(Double(copy.bytes))) of files at "
            + "\(ChartUnit.bytes.text(copy.bytesPerSecond))/s; the move's rate is "
            + "\(String(format: "%.2f", migration.bytesPerSecond / max(1, copy.bytesPerSecond))) of that"
        ), at: 4)
    }
    facts += result.decisions.filter { !$0.isEmpty }.map { ("because", $0) }
    if let residency = result.residency {
      let maps = residency.violationsByMap.map(String.init).joined(separator: ", ")
      facts.append(
        (
          "residency",
          "\(residency.violations) violations in \(residency.looks) looks at keys where they lay; by "
            + "the maps, one after the other: \(maps); \(residency.ruledKeys) keys are under a rule"
        ))
    }
    for (label, load) in [("before", result.loadBefore), ("after", result.loadAfter)]
    where !load.hotKeys.isEmpty {
      let keys = load.hotKeys.prefix(5).map { "\($0.key) \(percent($0.share)) on \($0.shard)" }
      facts.append(("hot keys \(label)", keys.joined(separator: ", ")))
    }
    for shard in result.loadAfter.shards {
      if let advice = shard.advice { facts.append(("advice", "\(shard.shard): \(advice)")) }
    }
    return facts
  }

  private static func percent(_ share: Double) -> String {
    String(format: share < 0.1 ? "%.1f %%" : "%.0f %%", share * 100)
  }

  public static let phaseColumns = [
    "phase", "seconds", "requests", "p50", "p99", "writes", "a write's p50", "its p99",
  ]

  /// Writes are timed from when they were begun, requests from when they were due.
  public static func phaseRows(_ result: RebalanceRun.Result) -> [[String]] {
    func time(_ nanoseconds: UInt64) -> String {
      nanoseconds == 0 ? "–" : ChartUnit.nanoseconds.text(Double(nanoseconds))
    }
    return result.phases.map {
      [
        $0.phase, String(format: "%.1f", $0.seconds), Quantity.grouped(Double($0.requests)),
        time($0.p50), time($0.p99), Quantity.grouped(Double($0.writes)), time($0.writeP50),
        time($0.writeP99),
      ]
    }
  }

  public static let loadColumns = [
    "shard", "requests before", "of its share", "requests after", "of its share", "",
  ]

  /// Where requests went before the move and after it, and which shards were hot.
  public static func loadRows(_ result: RebalanceRun.Result) -> [[String]] {
    result.shards.map { shard in
      let loads = [result.loadBefore, result.loadAfter].map { load in
        load.shards.first { $0.shard == shard }
      }
      let cells = loads.flatMap { load in
        load.map { [percent($0.share), Quantity.times($0.overFair)] } ?? ["–", "–"]
      }
      let hot = zip(["before", "after"], loads).filter { $1?.isHot == true }.map(\.0)
      return [shard.description] + cells
        + [hot.isEmpty ? "" : "hot " + hot.joined(separator: " and ")]
    }
  }

  public static let stageColumns = ["stage", "seconds", "requests/s", "p50", "p99", "p99.9"]

  public static func stageRows(_ result: RebalanceRun.Result) -> [[String]] {
    [("before", result.before), ("during", result.during), ("after", result.after)].map {
      name, stage in
      [
        name, String(format: "%.1f", stage.seconds), Quantity.grouped(stage.requestsPerSecond),
        ChartUnit.nanoseconds.text(Double(stage.p50)),
        ChartUnit.nanoseconds.text(Double(stage.p99)),
        ChartUnit.nanoseconds.text(Double(stage.p999)),
      ]
    }
  }

  // MARK: Charts

  static func charts(_ result: RebalanceRun.Result) -> [Chart] {
    let samples = result.samples
    var markers: [Chart.Marker] = []
    var last = ""
    for sample in samples where sample.phase != last {
      if !last.isEmpty { markers.append(.init(sample.seconds, sample.phase)) }
      last = sample.phase
    }
    func lines(
      _ title: String, _ axis: Chart.Axis, _ lines: [Chart.Line]
    ) -> Chart {
      Chart(
        title, x: .init("time", unit: .seconds), y: axis, content: .lines(lines), markers: markers)
    }
    return [
      Chart(
        "Keys of the shards", x: .init("time", unit: .seconds), y: .init("keys"),
        content: .areas(
          result.shards.enumerated().map { place, shard in
            .init(
              shard.description,
              samples.map { .init($0.seconds, Double(max(0, $0.keysOfShards[place]))) })
          })),
      lines(
        "Latency of requests", .init("latency", unit: .nanoseconds, isLogarithmic: true),
        [
          .init(
            "p99",
            samples.compactMap { sample in
              sample.p99.map { .init(sample.seconds, Double(max(1, $0))) }
            }),
          .init(
            "p50",
            samples.compactMap { sample in
              sample.p50.map { .init(sample.seconds, Double(max(1, $0))) }
            }),
        ]),
      lines(
        "Throughput", .init("requests a second", unit: .perSecond),
        [.init("requests", samples.map { .init($0.seconds, $0.requestsPerSecond) })]),
    ]
  }

  // MARK: Replay

  /// What the script draws; without scripts the charts above tell the same.
  private static func replay(_ result: RebalanceRun.Result) throws -> String {
    struct Frame: Encodable {
      let t: Double
      let phase: String
      let rate: Double
      let p99: Double
      let moved: UInt64
      let total: UInt64
      let keys: [Int]
    }
    struct Film: Encodable {
      let shards: [String]
      let frames: [Frame]
    }
    let film = Film(
      shards: result.shards.map(\.description),
      frames: result.samples.map {
        Frame(
          t: $0.seconds, phase: $0.phase, rate: $0.requestsPerSecond.rounded(),
          p99: Double($0.p99 ?? 0) / 1e6, moved: $0.copiedKeys, total: $0.totalKeys,
          keys: $0.keysOfShards)
      })
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    // Inside a script element only "</" could end it.
    let json = String(decoding: try encoder.encode(film), as: UTF8.self)
      .replacingOccurrences(of: "</", with: "<\\/")
    return """
      <noscript><p class="note">The replay needs scripts; the charts below show the same.</p></noscript>
      <p><button id="play" type="button">Play</button>
      <input id="time" type="range" min="0" max="\(max(0, film.frames.count - 1))" value="0" \
      aria-label="moment" style="width: 60%"><br><span id="now"></span></p>
      <div id="bars" class="ch" style="font:inherit" role="img" aria-label="keys of the shards at the chosen moment"></div>
      <script>
      "use strict";
      const film = \(json);
      const most = Math.max(1, ...film.frames.map(f => Math.max(...f.keys)));
      const bars = document.getElementById("bars"), time = document.getElementById("time");
      const now = document.getElementById("now"), play = document.getElementById("play");
      const rows = film.shards.map((name, place) => {
        const row = document.createElement("div"), bar = document.createElement("span");
        const text = document.createElement("span"), label = document.createElement("span");
        row.style.cssText = "display:flex;gap:.6rem;align-items:center;margin:.2rem 0";
        label.textContent = name; label.style.width = "3rem";
        bar.style.cssText = `height:1.2rem;background:var(--c${place % 6})`;
        row.append(label, bar, text); bars.append(row);
        return { bar, text };
      });
      function show() {
        const frame = film.frames[time.value];
        if (!frame) return;
        frame.keys.forEach((keys, place) => {
          rows[place].bar.style.width = 70 * Math.max(0, keys) / most + "%";
          rows[place].text.textContent = keys.toLocaleString("en");
        });
        const number = n => n.toLocaleString("en");
        const moved = frame.total > 0 ? ` · ${number(frame.moved)} of ${number(frame.total)} moved` : "";
        now.textContent = `${frame.t.toFixed(1)} s · ${frame.phase}${moved} · ${number(frame.rate)}/s`
          + ` · p99 ${frame.p99.toFixed(2)} ms`;
      }
      let timer = null;
      function stop() { clearInterval(timer); timer = null; play.textContent = "Play"; }
      play.onclick = () => {
        if (timer) return stop();
        if (+time.value >= +time.max) time.value = 0;
        play.textContent = "Stop";
        timer = setInterval(() => {
          if (+time.value >= +time.max) return stop();
          time.value = +time.value + 1; show();
        }, 100);
      };
      time.oninput = () => { if (timer) stop(); show(); };
      show();
      </script>

      """
  }
}
