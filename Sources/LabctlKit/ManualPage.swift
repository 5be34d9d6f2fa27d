/// One command as a manual page, in the man(7) macros that every roff understands.
struct ManualPage {
  let command: CommandTree
  let version: String

  /// `labctl-db-get.1`
  var fileName: String { command.path.joined(separator: "-") + ".1" }

  var text: String {
    var lines = [
      ".TH \"\(command.path.joined(separator: "-").uppercased())\" 1 \"\" "
        + "\"StorageLab \(version)\" \"StorageLab\"",
      ".SH NAME",
      "\(ManualPage.escaped(command.path.joined(separator: "-"))) \\- "
        + ManualPage.escaped(sentence(command.abstract ?? "")),
      ".SH SYNOPSIS", ".B \(ManualPage.escaped(command.path.joined(separator: " ")))",
    ]
    lines.append(ManualPage.escaped(synopsis))
    let (description, examples) = parts
    if !description.isEmpty { lines += [".SH DESCRIPTION"] + preformatted(description) }
    let children = command.children
    if !children.isEmpty {
      lines.append(".SH COMMANDS")
      for child in children {
        lines += [
          ".TP", ".B \(ManualPage.escaped(child.commandName))",
          ManualPage.escaped(
            (child.abstract ?? "")
              + (child.commandName == command.defaultSubcommand ? " (The default.)" : "")),
        ]
      }
    }
    let shown = (command.arguments ?? []).filter(\.shouldDisplay)
    let positional = shown.filter { $0.kind == .positional }
    let options = shown.filter { $0.kind != .positional }
    for (title, list) in [("ARGUMENTS", positional), ("OPTIONS", options)] where !list.isEmpty {
      lines.append(".SH \(title)")
      for argument in list { lines += entry(argument) }
    }
    if !examples.isEmpty { lines += [".SH EXAMPLES"] + preformatted(examples) }
    lines += [
      ".SH EXIT STATUS",
      "0 done, 1 a check found a difference, 2 usage, 3 not found, 4 wrong format, 5 corruption, "
        + "6 locked, 7 I/O error or no space, 8 read-only, 9 unsupported.",
    ]
    var others = children.map(\.path)
    if let parent = command.superCommands, !parent.isEmpty { others.insert(parent, at: 0) }
    if !others.isEmpty {
      lines.append(".SH SEE ALSO")
      lines.append(
        others.map { ".BR \(ManualPage.escaped($0.joined(separator: "-"))) (1)" }
          .joined(separator: ",\n"))
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private var synopsis: String {
    var words: [String] = []
    for argument in command.arguments ?? [] where argument.shouldDisplay {
      let value = "<\(argument.valueName ?? "value")>"
      let name = (argument.names ?? []).first { $0.kind == "long" } ?? argument.names?.first
      var word =
        switch argument.kind {
        case .positional: value
        case .flag: name?.text ?? ""
        case .option: "\(name?.text ?? "") \(value)"
        }
      if argument.isRepeating { word += " ..." }
      words.append(argument.isOptional ? "[\(word)]" : word)
    }
    if !command.children.isEmpty { words.append("<command>") }
    return words.joined(separator: " ")
  }

  /// The discussion before and from the heading `Examples:` on.
  private var parts: (description: [Substring], examples: [Substring]) {
    let lines = (command.discussion ?? "").split(
      separator: "\n", omittingEmptySubsequences: false)
    guard let heading = lines.firstIndex(where: { $0.hasPrefix("Examples:") }) else {
      return (lines, [])
    }
    let after = lines[(heading + 1)...]
    // What is not indented belongs to the description again.
    let end = after.firstIndex { !$0.isEmpty && !$0.hasPrefix(" ") } ?? lines.endIndex
    var description = Array(lines[..<heading]) + Array(lines[end...])
    while description.last?.isEmpty == true { description.removeLast() }
    var examples = Array(after[..<end])
    while examples.last?.isEmpty == true { examples.removeLast() }
    return (description, examples)
  }

  /// Paragraphs are filled; indented lines and their breaks are kept.
  private func preformatted(_ lines: [Substring]) -> [String] {
    var output: [String] = []
    var isLiteral = false
    for line in lines {
      let literal = line.hasPrefix(" ") || (isLiteral && line.isEmpty)
      if literal != isLiteral { output.append(literal ? ".nf" : ".fi") }
      isLiteral = literal
      output.append(line.isEmpty ? (literal ? "" : ".PP") : ManualPage.escaped(String(line)))
    }
    if isLiteral { output.append(".fi") }
    return output
  }

  private func entry(_ argument: CommandTree.Argument) -> [String] {
    let value = "<\(argument.valueName ?? "value")>"
    let names = (argument.names ?? []).map(\.text).joined(separator: ", ")
    let head =
      switch argument.kind {
      case .positional: value
      case .flag: names
      case .option: "\(names) \(value)"
      }
    var text = argument.abstract ?? ""
    if let more = argument.discussion { text += text.isEmpty ? more : " \(more)" }
    if let value = argument.defaultValue { text += " (default: \(value))" }
    return [".TP", ".B \(ManualPage.escaped(head))", ManualPage.escaped(text)]
  }

  private func sentence(_ text: String) -> String {
    text.hasSuffix(".") ? String(text.dropLast()) : text
  }

  /// Text that roff prints as it stands.
  static func escaped(_ text: String) -> String {
    let escaped = text.replacing("\\", with: "\\e").replacing("-", with: "\\-")
      .replacing("\n", with: " ")
    return escaped.hasPrefix(".") || escaped.hasPrefix("'") ? "\\&" + escaped : escaped
  }
}
