#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include <levin/framework/core/error.h>

namespace levin {

/// The type of the numbers that a parameter server holds, as the bytes of one.
enum class ServerType : uint32_t { float32 = 4, float64 = 8 };

template <class T>
inline constexpr ServerType kServerType =
    std::is_same_v<std::remove_const_t<T>, float> ? ServerType::float32 : ServerType::float64;

/// A view of numbers of one of these types, which can be changed if `Byte` isn't const. Views of
/// float and double, and vectors of them, convert to it.
template <class Byte>
class BasicServerSpan {
  template <class T>
  using Number = std::conditional_t<std::is_const_v<Byte>, const T, T>;
  template <class T>
  using Vector = std::conditional_t<std::is_const_v<Byte>, const std::vector<T>, std::vector<T>>;

 public:
  /// No numbers, which have no type.
  BasicServerSpan() = default;
  BasicServerSpan(std::span<Number<float>> numbers) : BasicServerSpan(numbers, {}) {}
  BasicServerSpan(std::span<Number<double>> numbers) : BasicServerSpan(numbers, {}) {}
  BasicServerSpan(Vector<float>& numbers) : BasicServerSpan(std::span(numbers), {}) {}
  BasicServerSpan(Vector<double>& numbers) : BasicServerSpan(std::span(numbers), {}) {}
  BasicServerSpan(ServerType type, Byte* data, size_t size)
      : data_(data), size_(size), type_(type) {}
  BasicServerSpan(std::span<float> numbers) requires std::is_const_v<Byte>
      : BasicServerSpan(std::span<const float>(numbers), {}) {}
  BasicServerSpan(std::span<double> numbers) requires std::is_const_v<Byte>
      : BasicServerSpan(std::span<const double>(numbers), {}) {}
  template <class Other>
  BasicServerSpan(const BasicServerSpan<Other>& other) requires(std::is_const_v<Byte> &&
                                                                !std::is_const_v<Other>)
      : BasicServerSpan(other.type(), other.data(), other.size()) {}

  ServerType type() const { return type_; }
  Byte* data() const { return data_; }
  /// How many numbers there are, and their bytes.
  size_t size() const { return size_; }
  size_t bytes() const { return size_ * static_cast<size_t>(type_); }
  BasicServerSpan part(size_t first, size_t count) const {
    return {type_, data_ + first * static_cast<size_t>(type_), count};
  }

  /// The numbers as float or double. Throws ConfigError if they are of the other type.
  template <class T>
  std::span<Number<T>> as() const {
    if (size_ > 0 && kServerType<T> != type_) {
      throw ConfigError(type_ == ServerType::float32
                            ? "the numbers of the parameter server are float32, not float64"
                            : "the numbers of the parameter server are float64, not float32");
    }
    return {reinterpret_cast<Number<T>*>(data_), size_};
  }
  operator std::span<Number<float>>() const { return as<float>(); }
  operator std::span<Number<double>>() const { return as<double>(); }

 private:
  template <class T>
  BasicServerSpan(std::span<T> numbers, std::nullptr_t)
      : data_(reinterpret_cast<Byte*>(numbers.data())),
        size_(numbers.size()),
        type_(kServerType<T>) {}

  Byte* data_ = nullptr;
  size_t size_ = 0;
  ServerType type_ = ServerType::float64;
};
using ServerSpan = BasicServerSpan<std::byte>;
using ConstServerSpan = BasicServerSpan<const std::byte>;

/// Which rows of a table are pushed or pulled: all, some that follow each other, or a list of
/// numbers, which ascend. A list isn't copied.
class ServerRows {
 public:
  ServerRows() = default;
  ServerRows(int64_t first, int64_t count) : first_(first), count_(count), is_all_(false) {}
  ServerRows(std::span<const int64_t> list)
      : list_(list), count_(static_cast<int64_t>(list.size())), is_all_(false), is_list_(true) {}
  ServerRows(const std::vector<int64_t>& list) : ServerRows(std::span(list)) {}

  bool is_all() const { return is_all_; }
  bool is_list() const { return is_list_; }
  std::span<const int64_t> list() const { return list_; }
  /// Of rows that follow each other.
  int64_t first() const { return first_; }
  /// How many rows there are; 0 for all.
  int64_t count() const { return count_; }

 private:
  std::span<const int64_t> list_{};
  int64_t first_ = 0;
  int64_t count_ = 0;
  bool is_all_ = true;
  bool is_list_ = false;
};

}  // namespace levin
