#include "ptx/kernel.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>

#include "ptx/instructions.hpp"

namespace skv::ptx {
namespace {

constexpr std::string_view kSpace = " \t\r";

std::string_view trimmed(std::string_view s) {
  const std::size_t first = s.find_first_not_of(kSpace);
  if (first == s.npos) return {};
  return s.substr(first, s.find_last_not_of(kSpace) - first + 1);
}
std::string_view without_comment(std::string_view line) {
  return trimmed(line.substr(0, line.find("//")));
}
/// The first word, which is taken off.
std::string_view take_word(std::string_view& s) {
  const std::size_t end = std::min(s.find_first_of(kSpace), s.size());
  const std::string_view word = s.substr(0, end);
  s = trimmed(s.substr(end));
  return word;
}
/// Cut at a character, but not within brackets.
std::vector<std::string_view> cut(std::string_view s, char at) {
  std::vector<std::string_view> pieces;
  int depth = 0;
  std::size_t first = 0;
  for (std::size_t i = 0; i <= s.size(); ++i) {
    if (i == s.size() || (s[i] == at && depth == 0)) {
      pieces.push_back(trimmed(s.substr(first, i - first)));
      first = i + 1;
    } else {
      depth += (s[i] == '{' || s[i] == '[') - (s[i] == '}' || s[i] == ']');
    }
  }
  return pieces;
}
bool take_number(std::string_view s, std::uint64_t& number) {
  const bool is_negative = s.starts_with('-');
  if (is_negative) s.remove_prefix(1);
  const bool is_hex = s.starts_with("0x");
  if (is_hex) s.remove_prefix(2);
  if (s.ends_with('U')) s.remove_suffix(1);
  const auto [end, error] =
      std::from_chars(s.data(), s.data() + s.size(), number, is_hex ? 16 : 10);
  if (is_negative) number = 0 - number;
  return error == std::errc() && end == s.data() + s.size();
}
/// What stands between two characters.
std::string_view between(std::string_view s, char open, char close) {
  const std::size_t first = s.find(open), last = s.rfind(close);
  if (first == s.npos || last == s.npos || last < first) throw std::runtime_error("brackets");
  return s.substr(first + 1, last - first - 1);
}
std::uint64_t number_of(std::string_view s) {
  std::uint64_t number = 0;
  if (!take_number(trimmed(s), number)) throw std::runtime_error("not a number: " + std::string(s));
  return number;
}

/// Parses one kernel.
class parser {
 public:
  explicit parser(kernel& made) : made_(made) {}

  /// A statement, with its label, or the declaration of a variable; `number`: of its line.
  void take(std::string_view statement, std::uint32_t number) {
    if (statement.starts_with('$')) {
      const std::size_t end = statement.find(':');
      labels_.emplace(statement.substr(0, end), static_cast<std::uint32_t>(made_.code.size()));
      statement = end == statement.npos ? "" : trimmed(statement.substr(end + 1));
    }
    if (statement.empty()) return;
    if (statement.starts_with('.')) return declare(statement);
    instruction i;
    i.line = number;
    if (statement.starts_with('@')) {
      statement.remove_prefix(1);
      std::string_view guard = take_word(statement);
      i.is_guard_negated = guard.starts_with('!');
      if (i.is_guard_negated) guard.remove_prefix(1);
      i.guard = register_of(guard);
    }
    const std::string_view name = take_word(statement);
    std::vector<std::string> words;
    for (const std::string_view word : cut(name, '.')) words.emplace_back(word);
    const std::vector<std::string_view> operands =
        statement.empty() ? std::vector<std::string_view>{} : cut(statement, ',');
    const known_instruction known = find_instruction(words);
    i.run = known.run;
    i.does = known.does;
    i.space = known.space;
    i.count = known.count;
    if (i.run == nullptr && i.does == role::plain)
      throw std::runtime_error("unknown instruction " + std::string(name));
    if (i.does == role::jump)
      jumps_.emplace_back(made_.code.size(), operands.at(0));
    else if (i.does == role::barrier)
      check(operands.size() == 1 && operands[0] == "0", "another barrier than 0");
    else if (i.does != role::end)
      take_operands(i, words, operands);
    made_.code.push_back(i);
  }
  void declare(std::string_view statement) {
    const std::string_view kind = take_word(statement);
    if (kind == ".reg") {
      const std::string_view type = take_word(statement);
      const unsigned width = type == ".pred" ? 1 : static_cast<unsigned>(number_of(type.substr(2)));
      for (const std::string_view name : cut(statement, ','))
        widths_.emplace(name.substr(0, name.find('<')), width);
    } else if (kind == ".extern") {
      check(take_word(statement) == ".shared", "not of shared memory");
      symbols_.emplace(take_array(statement).name, 0);
    } else if (kind == ".param") {
      check(made_.parameter_bytes == 0, "a second parameter");
      const array a = take_array(statement);
      symbols_.emplace(a.name, 0);
      made_.parameter_bytes = a.bytes;
    } else if (kind == ".local") {
      const array a = take_array(statement);
      const std::size_t first = (made_.local_bytes + 15) / 16 * 16;  // more than any alignment
      symbols_.emplace(a.name, first);
      made_.local_bytes = first + a.bytes;
    } else if (kind == ".maxntid") {
      made_.max_threads = static_cast<std::uint32_t>(number_of(cut(statement, ',')[0]));
    } else {
      check(kind == ".pragma" || kind == ".minnctapersm", "unknown directive");
    }
  }
  void finish() {
    for (const auto& [at, label] : jumps_) {
      const auto target = labels_.find(label);
      if (target == labels_.end()) throw std::runtime_error("no label " + std::string(label));
      made_.code[at].target = target->second;
    }
    instruction end;  // for labels behind the last one
    end.does = role::end;
    if (!made_.code.empty()) end.line = made_.code.back().line;
    made_.code.push_back(end);
  }

 private:
  static void check(bool is_understood, const char* what) {
    if (!is_understood) throw std::runtime_error(what);
  }
  struct array {
    std::string_view name;
    std::size_t bytes;
  };
  /// What stands behind the space of a variable's declaration.
  static array take_array(std::string_view s) {
    std::string_view word = take_word(s);
    if (word == ".align") {
      take_word(s);
      word = take_word(s);
    }
    const std::size_t bytes = number_of(word.substr(2)) / 8;
    const std::string_view name = s.substr(0, s.find('['));
    if (name.size() == s.size()) return {name, bytes};
    const std::string_view count = between(s, '[', ']');
    return {name, count.empty() ? 0 : bytes * number_of(count)};
  }

  void take_operands(instruction& i, const std::vector<std::string>& words,
                     const std::vector<std::string_view>& operands) {
    std::size_t next = 0, to = 0, from = 0;
    const auto source = [&](std::string_view s) {
      if (s.starts_with('!')) {
        i.negated |= std::uint64_t{1} << from;
        s.remove_prefix(1);
      }
      check(from < std::size(i.from), "too many sources");
      i.from[from++] = value_of(s);
    };
    const auto sources = [&](std::string_view s) {
      if (!s.starts_with('{')) return source(s);
      for (const std::string_view each : cut(between(s, '{', '}'), ',')) source(each);
    };
    const auto address = [&](std::string_view s) {
      s = between(s, '[', ']');
      const std::size_t plus = s.find('+');
      check(plus == s.npos || from == 0, "an offset of a second address");
      if (plus != s.npos) i.offset = static_cast<std::int64_t>(number_of(s.substr(plus + 1)));
      i.from[from++] = value_of(trimmed(s.substr(0, plus)));
    };
    const auto destinations = [&](std::string_view s) {
      if (s.starts_with('{')) s = between(s, '{', '}');
      for (const std::string_view each : cut(s, s.find('|') == s.npos ? ',' : '|')) {
        check(to < std::size(i.to) && each != "_", "destinations");
        i.to[to] = register_of(each);
        i.to_bits[to++] = static_cast<std::uint8_t>(width_of(each));
      }
    };
    check(words[0] != "cp" || operands.size() != 3, "cp.async without the size of its source");
    const bool has_result = words[0] != "st" && words[0] != "bar" && words[0] != "cp";
    if (has_result) destinations(operands.at(next++));
    for (; next < operands.size(); ++next) {
      if (operands[next].starts_with('['))
        address(operands[next]);
      else
        sources(operands[next]);
    }
    if (words[0] == "mov" && to + from != 2) {
      i.run = move_of_vector(from == 1);
      i.count = static_cast<std::uint8_t>(to + from - 1);
    }
  }

  std::uint32_t new_register() { return made_.registers++; }
  unsigned width_of(std::string_view name) const {
    const auto exact = widths_.find(name);
    if (exact != widths_.end()) return exact->second;
    const auto group = widths_.find(name.substr(0, name.find_first_of("0123456789")));
    if (group == widths_.end()) throw std::runtime_error("no register " + std::string(name));
    return group->second;
  }
  std::uint32_t register_of(std::string_view name) {
    width_of(name);
    const auto [at, is_new] = registers_.emplace(name, 0);
    if (is_new) at->second = new_register();
    return at->second;
  }
  /// A register that holds the value of an operand.
  std::uint32_t value_of(std::string_view s) {
    constexpr std::array<std::pair<std::string_view, special>, 5> kSpecials{{
        {"%tid.x", special::tid},
        {"%ntid.x", special::ntid},
        {"%ctaid.x", special::ctaid},
        {"%nctaid.x", special::nctaid},
        {"%lanemask_lt", special::lanemask_lt},
    }};
    for (const auto& [name, is] : kSpecials) {
      if (s != name) continue;
      const auto [at, is_new] = registers_.emplace(s, 0);
      if (is_new) made_.specials.emplace_back(at->second = new_register(), is);
      return at->second;
    }
    if (s.starts_with('%')) return register_of(s);
    std::uint64_t number = 0;
    if (const auto symbol = symbols_.find(s); symbol != symbols_.end())
      number = symbol->second;
    else if (!take_number(s, number))
      throw std::runtime_error("unknown operand " + std::string(s));
    const auto [at, is_new] = constants_.emplace(number, 0);
    if (is_new) made_.constants.emplace_back(at->second = new_register(), number);
    return at->second;
  }

  kernel& made_;
  std::map<std::string, unsigned, std::less<>> widths_;  ///< of registers, by name without number
  std::map<std::string, std::uint32_t, std::less<>> registers_;
  std::map<std::string, std::uint64_t, std::less<>> symbols_;
  std::map<std::uint64_t, std::uint32_t> constants_;
  std::map<std::string, std::uint32_t, std::less<>> labels_;
  std::vector<std::pair<std::size_t, std::string_view>> jumps_;
};

}  // namespace

program::program(std::string text) : text_(std::move(text)) {
  for (std::string_view rest = text_; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    lines_.push_back(without_comment(rest.substr(0, end)));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t entry = lines_.back().find(".entry ");
    if (entry == std::string_view::npos) continue;
    std::string_view name = lines_.back().substr(entry + 7);
    name = trimmed(name.substr(0, name.find('(')));
    entries_.emplace(name, static_cast<std::uint32_t>(lines_.size() - 1));
  }
}

std::string_view program::line(std::uint32_t number) const { return lines_[number]; }

const kernel& program::find(const std::string& name) {
  const auto parsed = parsed_.find(name);
  if (parsed != parsed_.end()) return parsed->second;
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) throw std::runtime_error("no kernel " + name);
  kernel made;
  made.name = name;
  parser parse(made);
  std::uint32_t at = 0;
  try {
    for (; at < entry->second; ++at)  // what the module has for all kernels
      if (lines_[at].starts_with(".extern") || lines_[at].starts_with(".shared"))
        parse.take(cut(lines_[at], ';')[0], at);
    for (++at; at < lines_.size() && lines_[at] != "{"; ++at)
      if (lines_[at].starts_with('.')) parse.take(lines_[at], at);
    for (++at; at < lines_.size() && lines_[at] != "}"; ++at)
      for (const std::string_view statement : cut(lines_[at], ';')) parse.take(statement, at);
    parse.finish();
  } catch (const std::exception& e) {
    throw std::runtime_error(name + ": line " + std::to_string(at + 1) + ": " + e.what() + ": " +
                             std::string(at < lines_.size() ? lines_[at] : "its end"));
  }
  return parsed_.emplace(name, std::move(made)).first->second;
}

}  // namespace skv::ptx
