#include <levin/serving/protocol/reading_memory.h>

#include <algorithm>

namespace levin {

int64_t reading_memory(std::string_view text) {
  // A value takes 16 bytes of simdjson's tape, 8 of its list of places, at most 8 as an element of
  // a tensor, and 8 for the lengths of texts. Each follows one of the characters that are counted,
  // and brackets are values, too.
  constexpr int64_t kOfAValue = 40;
  // The parser's copy, one with NaN replaced, and what texts contain: in the document and, while it
  // grows, twice in the tensor.
  constexpr int64_t kOfAByte = 5;
  constexpr size_t kShort = size_t{1} << 20;
  const auto size = static_cast<int64_t>(text.size());
  if (text.size() <= kShort) return (kOfAByte + kOfAValue) * size;
  const auto values = 1 + std::count_if(text.begin(), text.end(), [](char c) {
                        return c == ',' || c == ':' || c == '[' || c == '{' || c == '\n';
                      });
  return kOfAByte * size + kOfAValue * static_cast<int64_t>(values);
}

}  // namespace levin
