#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/core/ranks.h>

namespace levin::test {

/// One of several ranks of which only this one is there: nobody else ever raises a flag.
class StubRanks : public Ranks {
 public:
  StubRanks(int64_t rank, int64_t size) : rank_(rank), size_(size) {}
  int64_t rank() const override { return rank_; }
  int64_t size() const override { return size_; }
  std::string from_rank_zero(const std::string& /*key*/,
                             const std::function<std::string()>& make) override {
    return make();
  }
  bool any(bool raised) override { return raised; }
  std::vector<std::string> gather(const std::string& own) override {
    return std::vector<std::string>(static_cast<size_t>(size_), own);
  }
  void barrier() override {}

 private:
  int64_t rank_;
  int64_t size_;
};

}  // namespace levin::test
