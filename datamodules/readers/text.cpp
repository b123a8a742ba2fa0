#include <levin/datamodules/readers/text.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <string>
#include <system_error>

namespace levin::readers {
namespace {

/// 10^0 to 10^22: the powers of ten that are doubles.
constexpr double kPowersOfTen[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/// Parses a decimal of up to 15 digits without an exponent, which most numbers in files are. Its
/// digits and the power of ten are exact doubles, so that one division rounds correctly (Clinger
/// 1990, doi:10.1145/93542.93557).
bool parse_short_decimal(std::string_view text, double& value) {
  const bool negative = text.front() == '-';
  uint64_t digits = 0;
  size_t count = 0;
  size_t fraction = 0;
  bool point = false;
  for (const char c : text.substr(negative ? 1 : 0)) {
    if (c >= '0' && c <= '9') {
      digits = digits * 10 + static_cast<uint64_t>(c - '0');
      if (++count > 15) return false;
      fraction += point ? 1 : 0;
    } else if (c == '.' && !point) {
      point = true;
    } else {
      return false;
    }
  }
  if (count == 0) return false;
  const double magnitude = static_cast<double>(digits) / kPowersOfTen[fraction];
  value = negative ? -magnitude : magnitude;
  return true;
}

/// Whether a number that is out of a double's range is too small, rather than too large: its first
/// digit other than 0 comes after the point once the exponent has moved that.
bool is_tiny(std::string_view text) {
  const size_t end = std::min(text.find_first_of("eE"), text.size());
  const auto mantissa = text.substr(0, end);
  auto exponent_text = text.substr(std::min(end + 1, text.size()));
  if (exponent_text.starts_with('+')) exponent_text.remove_prefix(1);
  int64_t exponent = 0;
  const auto parsed =
      std::from_chars(exponent_text.data(), exponent_text.data() + exponent_text.size(), exponent);
  if (parsed.ec == std::errc::result_out_of_range) return exponent_text.front() == '-';
  const auto point = static_cast<int64_t>(std::min(mantissa.find('.'), mantissa.size()));
  const auto first = static_cast<int64_t>(mantissa.find_first_of("123456789"));
  return exponent < first - point;
}

/// Whether one of the eight bytes of `word` is less than `bound`, which is at most 128.
bool has_byte_below(uint64_t word, uint64_t bound) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  return ((word - kOnes * bound) & ~word & (kOnes << 7)) != 0;
}

}  // namespace

void read_line(std::string_view text, size_t start, TextRecord& line) {
  size_t end = start;
  bool may_have_quotes = false;
  const auto ends_line = [&] { return text[end] == '\n' || text[end] == '\r'; };
  for (uint64_t word = 0; end + sizeof(word) <= text.size();) {
    std::memcpy(&word, text.data() + end, sizeof(word));
    if (!has_byte_below(word, '"' + 1)) {  // no line end or quote in it
      end += sizeof(word);
      continue;
    }
    const size_t stop = end + sizeof(word);
    for (; end < stop && !ends_line(); ++end) {
      may_have_quotes = may_have_quotes || text[end] == '"';
    }
    if (end < stop) break;
  }
  for (; end < text.size() && !ends_line(); ++end) {
    may_have_quotes = may_have_quotes || text[end] == '"';
  }
  const bool is_crlf = end + 1 < text.size() && text[end] == '\r' && text[end + 1] == '\n';
  line.text = text.substr(start, end - start);
  line.next = std::min(end + (is_crlf ? 2 : 1), text.size());
  line.lines = 1;
  line.may_have_quotes = may_have_quotes;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

char detect_delimiter(std::string_view text) {
  bool quoted = false;
  std::string outside;
  for (char c : text) {
    if (c == '"') quoted = !quoted;
    if (!quoted && (c == '\n' || c == '\r')) break;
    if (!quoted) outside += c;
  }
  for (char candidate : {'\t', ';'}) {
    if (outside.find(candidate) != std::string::npos) return candidate;
  }
  return ',';
}

bool parse_number(std::string_view text, double& value) {
  text = trimmed(text);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  if (text.empty()) return false;
  if (parse_short_decimal(text, value)) return true;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end.ptr != text.data() + text.size()) return false;
  if (end.ec == std::errc()) return true;
  if (end.ec != std::errc::result_out_of_range || !is_tiny(text)) return false;
  value = 0.0;
  return true;
}

}  // namespace levin::readers
