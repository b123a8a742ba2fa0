#include <levin/framework/data/row_keys.h>

#include <algorithm>
#include <iterator>

namespace levin {

std::vector<std::string> RowKeys::of(int64_t first, int64_t count) const {
  if (read) return read(first, count);
  const int64_t begin = std::min(first, std::ssize(texts));
  const int64_t end = std::min(first + count, std::ssize(texts));
  return {texts.begin() + begin, texts.begin() + end};
}

}  // namespace levin
