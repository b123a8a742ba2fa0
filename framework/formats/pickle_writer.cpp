#include <levin/framework/formats/pickle.h>

#include <bit>
#include <utility>

#include <fmt/format.h>

namespace levin::pickle {

Writer::Writer() : out_("\x80\x02") {}

void Writer::integer(int64_t value) {
  const bool is_short = std::in_range<int32_t>(value);
  out_ += is_short ? "J" : "\x8a\x08";
  for (int i = 0; i < (is_short ? 4 : 8); ++i) {
    out_ += static_cast<char>((static_cast<uint64_t>(value) >> (8 * i)) & 0xff);
  }
}

void Writer::real(double value) {
  out_ += 'G';
  const auto bits = std::bit_cast<uint64_t>(value);
  for (int i = 7; i >= 0; --i) out_ += static_cast<char>((bits >> (8 * i)) & 0xff);
}

void Writer::text(std::string_view value) {
  out_ += 'X';
  for (int i = 0; i < 4; ++i) out_ += static_cast<char>((value.size() >> (8 * i)) & 0xff);
  out_ += value;
}

void Writer::begin_ordered_dict() {
  global("collections", "OrderedDict");
  out_ += ")R(";
}

void Writer::global(std::string_view module, std::string_view name) {
  out_ += fmt::format("c{}\n{}\n", module, name);
}

std::string Writer::finish() && {
  out_ += '.';
  return std::move(out_);
}

}  // namespace levin::pickle
