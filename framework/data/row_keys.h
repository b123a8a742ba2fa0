#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace levin {

/// A column of texts that tell rows apart, such as the numbers of customers.
struct RowKeys {
  /// The name of the column.
  std::string name{};
  /// One text for each row, unless there is `read`.
  std::vector<std::string> texts{};
  /// Returns the texts of `count` rows from `first` on, for keys that aren't in memory; fewer if
  /// there are fewer rows. To be called from one thread at a time.
  std::function<std::vector<std::string>(int64_t first, int64_t count)> read{};

  /// The texts of these rows, wherever they are.
  std::vector<std::string> of(int64_t first, int64_t count) const;
};

/// A data module whose rows have keys derives from this class too. `levin predict` writes the keys
/// in front of the predictions.
///
///     class Customers : public levin::DataModule, public levin::HasRowKeys { ... };
class HasRowKeys {
 public:
  virtual ~HasRowKeys() = default;
  /// The keys of the rows of `predict_dataloader`, in their order, known after
  /// `setup(Stage::predict)`. Without a name if there are none.
  virtual RowKeys prediction_keys() = 0;
};

}  // namespace levin
