#pragma once

#include <string>
#include <vector>

namespace levin {

/// A data module whose rows are in groups derives from this class too. Its batches have the tensor
/// "group", [rows] int64, the numbers of the rows' groups, for models such as ManyRegressions,
/// which then need not be told how many groups there are.
///
///     class Stores : public levin::DataModule, public levin::HasGroups { ...
///     };
class HasGroups {
 public:
  virtual ~HasGroups() = default;
  /// The names of the groups 0, 1 ..., known after `setup`. `levin predict` writes them beside the
  /// predictions. Empty if there are no groups.
  virtual std::vector<std::string> group_names() = 0;
};

}  // namespace levin
