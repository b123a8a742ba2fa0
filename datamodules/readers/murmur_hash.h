#pragma once

#include <cstdint>
#include <string_view>

namespace levin::readers {

/// MurmurHash3 in the form for 32 bits ("x86_32"), which Vowpal Wabbit and scikit-learn's
/// FeatureHasher use. Source: Austin Appleby, https://github.com/aappleby/smhasher.
uint32_t murmur_hash(std::string_view text, uint32_t seed = 0);

/// The hashing trick: the columns of features that are known by their names. A column is the lower
/// `bits` bits of a hash, so that rows have 2^bits columns and no list of names is needed; features
/// may share a column. The hashes are those of Vowpal Wabbit, and so the columns are the same.
class FeatureHash {
 public:
  /// Throws ConfigError if `bits` isn't in [1, 30]. `hash_all` hashes names that consist of digits
  /// like others, as with --hash all.
  explicit FeatureHash(int64_t bits, uint32_t seed = 0, bool hash_all = false);

  int64_t columns() const { return int64_t{mask_} + 1; }
  int32_t column(uint32_t hash) const { return static_cast<int32_t>(hash & mask_); }

  /// The hash of a namespace, by which the hashes of its features are found.
  uint32_t space(std::string_view name) const {
    return name.empty() ? (seed_ == 0 ? 0 : murmur_hash({}, seed_)) : hash(name, seed_);
  }
  /// The hash of a feature. A name that consists of digits is a number, to which the hash of its
  /// namespace is added, so that feature 7 of the default namespace is in column 7.
  uint32_t feature(std::string_view name, uint32_t space) const { return hash(name, space); }
  /// The hash of a feature whose value is a text: the text takes part in it, and the value is 1.
  uint32_t feature(std::string_view name, std::string_view text, uint32_t space) const {
    return hash(text, hash(name, space));
  }
  /// The hash of the product of two features (a quadratic feature). The order matters.
  static uint32_t product(uint32_t first, uint32_t second) { return (first * kFnvPrime) ^ second; }
  /// The hash of the constant feature.
  static constexpr uint32_t kConstant = 11650396;

 private:
  static constexpr uint32_t kFnvPrime = 16777619;
  uint32_t hash(std::string_view name, uint32_t seed) const;

  uint32_t mask_;
  uint32_t seed_;
  bool hash_all_;
};

}  // namespace levin::readers
