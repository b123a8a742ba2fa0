#include <levin/tuning/samplers/random_source.h>

#include <cmath>

namespace levin {

RandomSource RandomSource::of_trial(uint64_t seed, int64_t number) {
  const auto trial = static_cast<uint64_t>(number);
  std::seed_seq words{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32U),
                      static_cast<uint32_t>(trial), static_cast<uint32_t>(trial >> 32U)};
  RandomSource source(0);
  source.engine_.seed(words);
  return source;
}

double RandomSource::uniform() {
  const uint32_t high = bits() >> 5U;
  const uint32_t low = bits() >> 6U;
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

double RandomSource::normal() {
  constexpr double kTwoPi = 6.283185307179586476925;
  const double radius = std::sqrt(-2.0 * std::log1p(-uniform()));
  return radius * std::cos(kTwoPi * uniform());
}

}  // namespace levin
