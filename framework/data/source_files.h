#pragma once

#include <filesystem>
#include <vector>

namespace levin {

/// A data set that reads its rows from files derives from this class too. A run's record names the
/// files with their checksums.
///
///     class Recordings : public levin::Dataset, public levin::HasSourceFiles { ... };
class HasSourceFiles {
 public:
  virtual ~HasSourceFiles() = default;
  /// The files of the rows, in their order.
  virtual std::vector<std::filesystem::path> source_files() const = 0;
};

}  // namespace levin
