#pragma once

// The sparse rows that benchmarks of learners make up, and the memory of a learner.
#include <levin/framework/kernels/cpu/online.h>
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <random>
#include <vector>

namespace bench {

/// Which categories the entries of a row have. Each of a row's 39 entries belongs to a field, and
/// its column is a hash of the field and the category.
enum class Categories {
  popular,   ///< of the 2^20 categories of a field, each is as frequent as Zipf's law says
  uniform,   ///< 2^16 categories of each field, all as frequent
  countless  ///< a new one for nearly every entry, so that the columns are drawn uniformly
};

/// Rows whose entries are all 1. The targets follow from weights of an eighth of the categories.
class SparseRows {
 public:
  static constexpr int64_t kEntries = 39;

  SparseRows(int64_t rows, int bits, Categories categories, uint64_t seed = 1)
      : columns(int64_t{1} << bits) {
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<double> uniform;
    const auto category = [&]() -> uint64_t {
      if (categories == Categories::countless) return random();
      if (categories == Categories::uniform) return random() % (uint64_t{1} << 16);
      return static_cast<uint64_t>(std::exp2(20.0 * uniform(random))) - 1;
    };
    std::vector<int32_t> row;
    for (int64_t r = 0; r < rows; ++r) {
      row.clear();
      double sum = 0.0;
      for (int64_t field = 0; field < kEntries; ++field) {
        const uint64_t hash =
            (category() * 64 + static_cast<uint64_t>(field) + 1) * 0x9E3779B97F4A7C15U;
        row.push_back(static_cast<int32_t>(hash >> (64 - bits)));
        if (hash % 8 == 0) sum += (hash & 16) != 0 ? 1.0 : -1.0;
      }
      std::sort(row.begin(), row.end());
      row.erase(std::unique(row.begin(), row.end()), row.end());
      indices.insert(indices.end(), row.begin(), row.end());
      offsets.push_back(static_cast<int64_t>(indices.size()));
      targets.push_back(uniform(random) < 1.0 / (1.0 + std::exp(1.0 - sum)) ? 1.0F : 0.0F);
    }
  }
  int64_t count() const { return static_cast<int64_t>(targets.size()); }
  levin::kernels::SparseView view() const {
    return {.offsets = offsets.data(),
            .indices = indices.data(),
            .count = count(),
            .row_size = columns};
  }

  int64_t columns;
  std::vector<int64_t> offsets = {0};
  std::vector<int32_t> indices;
  std::vector<float> targets;
};

/// Memory for the state of a learner, in huge pages if the system offers them: columns lie anywhere
/// in it, and the processor knows the addresses of few small pages.
class HugeMemory {
 public:
  explicit HugeMemory(size_t floats) {
    constexpr size_t kPage = size_t{2} << 20;
    const size_t size = (floats * sizeof(float) + kPage - 1) / kPage * kPage;
    floats_ = static_cast<float*>(std::aligned_alloc(kPage, size));
    if (floats_ == nullptr) throw std::bad_alloc();
    madvise(floats_, size, MADV_HUGEPAGE);
  }
  ~HugeMemory() { std::free(floats_); }
  HugeMemory(const HugeMemory&) = delete;
  HugeMemory& operator=(const HugeMemory&) = delete;
  float* data() { return floats_; }

 private:
  float* floats_ = nullptr;
};

}  // namespace bench
