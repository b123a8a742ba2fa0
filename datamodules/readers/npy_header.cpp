#include <levin/datamodules/readers/npy_header.h>

#include <charconv>

#include <levin/datamodules/readers/bytes.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/number_in.h>

namespace levin::readers {
namespace {

constexpr std::string_view kNpyMagic = "\x93NUMPY";
constexpr size_t kMostSizes = 64;  // NumPy's own limit

struct TypeCode {
  char kind;
  size_t width;
  DType dtype;
};
constexpr TypeCode kTypeCodes[] = {
    {'b', 1, DType::bool_},   {'u', 1, DType::uint8},   {'u', 2, DType::uint16},
    {'u', 4, DType::uint32},  {'u', 8, DType::uint64},  {'i', 1, DType::int8},
    {'i', 2, DType::int16},   {'i', 4, DType::int32},   {'i', 8, DType::int64},
    {'f', 2, DType::float16}, {'f', 4, DType::float32}, {'f', 8, DType::float64}};

/// Parses the text of a header, which is the literal of a Python dict.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, std::string_view name) : rest_(text), name_(name) {}

  NpyHeader parse() {
    NpyHeader header;
    bool has_descr = false;
    bool has_order = false;
    bool has_shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string_view key = string();
      expect(':');
      if (key == "descr") {
        once(has_descr, key);
        descr(header);
      } else if (key == "fortran_order") {
        once(has_order, key);
        header.fortran_order = boolean();
      } else if (key == "shape") {
        once(has_shape, key);
        shape(header);
      } else {
        fail("the key " + in_quotes(key) + " is unknown");
      }
      if (!accept(',') && peek() != '}') fail_expected("'}'");
    }
    peek();
    if (!rest_.empty()) fail_expected("the end");
    if (!has_descr) fail("the key 'descr' is missing");
    if (!has_order) fail("the key 'fortran_order' is missing");
    if (!has_shape) fail("the key 'shape' is missing");
    return header;
  }

 private:
  [[noreturn]] void fail(const std::string& reason) const {
    throw DataError::corrupt(name_,
                             "in its header, " + reason + "; save the array again with numpy.save");
  }
  [[noreturn]] void fail_expected(const std::string& what) const {
    constexpr size_t kShown = 20;
    fail(what + " was expected, but " +
         (rest_.empty() ? "the header ended" : in_quotes(rest_.substr(0, kShown)) + " was found"));
  }
  /// The next character that isn't white space; '\0' at the end.
  char peek() {
    const size_t start = rest_.find_first_not_of(" \t\r\n");
    rest_.remove_prefix(start == std::string_view::npos ? rest_.size() : start);
    return rest_.empty() ? '\0' : rest_.front();
  }
  bool accept(char c) {
    if (peek() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail_expected(std::string("'") + c + "'");
  }
  void once(bool& seen, std::string_view key) {
    if (seen) fail("the key " + in_quotes(key) + " comes twice");
    seen = true;
  }

  std::string_view string() {
    const char quote = peek();
    const size_t end = rest_.find(quote, 1);
    if ((quote != '\'' && quote != '"') || end == std::string_view::npos) {
      fail_expected("a text in quotes");
    }
    const std::string_view text = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return text;
  }

  bool boolean() {
    peek();
    for (std::string_view word : {"True", "False"}) {
      if (rest_.substr(0, word.size()) != word) continue;
      rest_.remove_prefix(word.size());
      return word == "True";
    }
    fail_expected("True or False for fortran_order");
  }

  void shape(NpyHeader& header) {
    expect('(');
    while (!accept(')')) {
      int64_t size = 0;
      peek();
      const auto end = std::from_chars(rest_.data(), rest_.data() + rest_.size(), size);
      if (end.ec != std::errc() || size < 0) fail_expected("a size from 0 to 2^63 - 1");
      rest_.remove_prefix(static_cast<size_t>(end.ptr - rest_.data()));
      accept('L');  // Python 2
      if (header.shape.size() == kMostSizes) {
        fail("the shape has more than " + std::to_string(kMostSizes) + " sizes");
      }
      header.shape.push_back(size);
      if (!accept(',') && peek() != ')') fail_expected("')'");
    }
  }

  void descr(NpyHeader& header) {
    if (peek() == '[') {
      throw DataError(std::string(name_) +
                      ": it is a structured array, with fields, which isn't read; save each field "
                      "as an array of its own");
    }
    const std::string_view type = string();
    if (type.size() < 3 || std::string_view("<>|=").find(type[0]) == type.npos) refuse(type);
    const auto width = number_in<size_t>(type.substr(2));
    if (!width) refuse(type);
    header.big_endian = type[0] == '>';
    for (const TypeCode& code : kTypeCodes) {
      if (code.kind != type[1] || code.width != *width) continue;
      header.dtype = code.dtype;
      return;
    }
    refuse(type);
  }

  [[noreturn]] void refuse(std::string_view type) const {
    const bool object = type.find('O') != type.npos;
    throw DataError::bad_value(
        "the element type", in_quotes(type), name_,
        object ? "Python objects are never loaded. Save array.astype(float) or array.astype(int)."
               : "it must be bool, an integer of 8 to 64 bits or a float of 16 to 64 bits. Convert "
                 "the array with array.astype before saving it.");
  }

  std::string_view rest_;
  std::string_view name_;
};

}  // namespace

NpyHeader parse_npy_header(std::span<const std::byte> bytes, std::string_view name) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.substr(0, kNpyMagic.size()) != kNpyMagic) {
    throw DataError::corrupt(name,
                             "it isn't a .npy file, which starts with the byte 0x93 and the "
                             "letters NUMPY; check that it is the right file");
  }
  const auto require = [&](size_t size) {
    if (text.size() >= size) return;
    throw DataError::corrupt(name, "it ends after " + counted(text.size(), "byte") +
                                       ", inside its header; copy or download it again");
  };
  require(kNpyMagic.size() + 2);
  const auto major = load_little(bytes, kNpyMagic.size(), 1);
  const auto minor = load_little(bytes, kNpyMagic.size() + 1, 1);
  if (major < 1 || major > 3 || minor != 0) {
    throw DataError::corrupt(name, "its version of the .npy format is " + std::to_string(major) +
                                       "." + std::to_string(minor) +
                                       ", but must be 1.0, 2.0 or 3.0; save the array again with "
                                       "numpy.save");
  }
  const size_t width = major == 1 ? 2 : 4;
  const size_t start = kNpyMagic.size() + 2 + width;
  require(start);
  const uint64_t length = load_little(bytes, start - width, width);
  if (length > kLongestNpyHeader - start) {
    throw DataError::corrupt(name, "it says that its header has " + std::to_string(length) +
                                       " bytes, but at most " +
                                       std::to_string(kLongestNpyHeader - start) +
                                       " are read; save the array again with numpy.save");
  }
  require(start + length);
  NpyHeader header = HeaderParser(text.substr(start, length), name).parse();
  header.size = start + length;
  return header;
}

std::string npy_header(DType dtype, std::span<const int64_t> shape) {
  constexpr size_t kAlignment = 64;
  constexpr size_t kGrowth = 21;  // NumPy leaves room for the first size to grow in place
  const TypeCode& code = kTypeCodes[static_cast<size_t>(dtype)];
  std::string text = "{'descr': '";
  text += code.width == 1 ? '|' : '<';
  text += code.kind + std::to_string(code.width) + "', 'fortran_order': False, 'shape': (";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += std::to_string(shape[i]);
    if (i + 1 < shape.size() || shape.size() == 1) text += ",";
    if (i + 1 < shape.size()) text += " ";
  }
  text += "), }";
  if (!shape.empty()) text.append(kGrowth - std::to_string(shape[0]).size(), ' ');
  const size_t start = kNpyMagic.size() + 4;
  text.append(kAlignment - (start + text.size() + 1) % kAlignment, ' ');
  text += '\n';
  std::string header(kNpyMagic);
  header += '\x01';
  header += '\0';
  header += static_cast<char>(text.size() & 0xff);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

}  // namespace levin::readers
