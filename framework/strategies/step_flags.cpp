#include <levin/framework/strategies/step_flags.h>

#include <algorithm>
#include <utility>

#include <levin/framework/core/ranks.h>

namespace levin {

void StepFlags::clear() {
  flags_.clear();
  numbers_given_ = 0;
}

StepFlags::Flag& StepFlags::flag(std::string_view key) {
  const auto found =
      std::find_if(flags_.begin(), flags_.end(), [&](const Flag& flag) { return flag.key == key; });
  return found != flags_.end() ? *found : flags_.emplace_back(Flag{.key = std::string(key)});
}

void StepFlags::agree(Flag& flag) {
  flag.agreed = true;  // until `agreed` is called; a step may have several windows (LBFGS)
  flag.raised = false;
}

bool StepFlags::agreed(std::string_view key, bool raised) {
  Flag& own = flag(key);
  own.raised = own.raised || (raised && !own.agreed);
  return std::exchange(own.agreed, false);
}

void StepFlags::write(std::span<double, kNumbers> numbers) const {
  std::fill(numbers.begin(), numbers.end(), 0.0);
  for (const Flag& flag : flags_) {
    if (flag.raised) numbers[flag.number] = 1.0;
  }
}

void StepFlags::read(std::span<const double, kNumbers> sums, Ranks& ranks) {
  for (Flag& flag : flags_) {
    if (flag.number != kNamed && sums[flag.number] > 0.5) agree(flag);
  }
  if (sums[kNamed] < 0.5) return;
  std::string own;  // each name ends with a zero byte
  for (const Flag& flag : flags_) {
    if (flag.raised && flag.number == kNamed) (own += flag.key) += '\0';
  }
  for (const std::string& names : ranks.gather(own)) {
    for (size_t begin = 0; begin < names.size();) {
      const size_t end = names.find('\0', begin);
      Flag& named = flag(std::string_view(names).substr(begin, end - begin));
      if (named.number == kNamed && numbers_given_ < kNamed) named.number = numbers_given_++;
      agree(named);
      begin = end + 1;
    }
  }
}

}  // namespace levin
