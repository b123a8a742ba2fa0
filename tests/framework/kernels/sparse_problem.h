#pragma once

// Random sparse rows for the tests of the kernels.
#include <levin/framework/kernels/cpu/sparse.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace levin::kernels::sparse_problem {

struct Case {
  int64_t columns;
  int64_t count;
  bool has_values;  // else all are 1
  bool in_place;    // rows by number, some of them several times
};

inline std::string describe(const Case& c) {
  return std::to_string(c.count) + " rows of " + std::to_string(c.columns) +
         (c.has_values ? " with values" : " of ones") + (c.in_place ? " in place" : "");
}

// Stored rows with 0 to 40 entries, of which every fifth row is empty.
class SparseRows {
 public:
  explicit SparseRows(const Case& c) : c_(c), random_(11) {
    const int64_t stored = c.in_place ? 2 * c.count / 3 + 1 : c.count;
    for (int64_t r = 0; r < stored; ++r) append_row(r % 5 == 3);
    for (int64_t i = 0; i < c.count; ++i) {
      numbers.push_back(c.in_place ? static_cast<int64_t>(random_() % static_cast<uint64_t>(stored))
                                   : i);
    }
  }

  SparseView view() const {
    return {.offsets = offsets.data(),
            .indices = indices.data(),
            .values = c_.has_values ? values.data() : nullptr,
            .numbers = c_.in_place ? numbers.data() : nullptr,
            .count = c_.count,
            .row_size = c_.columns};
  }

  // Calls visit(column, value) for each entry of row i of the view.
  template <class Visit>
  void visit(int64_t i, Visit visit) const {
    const auto row = static_cast<size_t>(numbers[static_cast<size_t>(i)]);
    for (int64_t k = offsets[row]; k < offsets[row + 1]; ++k) {
      const auto at = static_cast<size_t>(k);
      visit(static_cast<size_t>(indices[at]), c_.has_values ? double{values[at]} : 1.0);
    }
  }

  std::vector<int64_t> offsets = {0}, numbers;
  std::vector<int32_t> indices;
  std::vector<float> values;

 private:
  void append_row(bool is_empty) {
    std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
    const auto columns = static_cast<uint64_t>(c_.columns);
    const uint64_t entries = is_empty ? 0 : random_() % 41;
    const uint64_t most_gap = entries == 0 ? 1 : columns / entries + 1;
    for (uint64_t column = random_() % most_gap; column < columns;
         column += 1 + random_() % most_gap) {
      if (static_cast<uint64_t>(indices.size()) - static_cast<uint64_t>(offsets.back()) == entries)
        break;
      indices.push_back(static_cast<int32_t>(column));
      values.push_back(uniform(random_));
    }
    offsets.push_back(static_cast<int64_t>(indices.size()));
  }

  Case c_;
  std::mt19937_64 random_;
};

}  // namespace levin::kernels::sparse_problem
