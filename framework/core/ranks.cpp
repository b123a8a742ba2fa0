#include <levin/framework/core/ranks.h>

#include <algorithm>
#include <cstring>

namespace levin {

void Ranks::sum(std::span<double> values) {
  if (size() == 1 || values.empty()) return;
  const auto texts = gather({reinterpret_cast<const char*>(values.data()), values.size_bytes()});
  std::vector<double> term(values.size());
  for (size_t r = 0; r < texts.size(); ++r) {
    std::memcpy(term.data(), texts[r].data(), std::min(texts[r].size(), values.size_bytes()));
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = r == 0 ? term[i] : values[i] + term[i];
    }
  }
}

}  // namespace levin
