#pragma once

#include <cstdint>
#include <string>

#include <levin/datamodules/array.h>

namespace levin {

/// Options of IrisDataModule; ArrayDataModuleOptions describes them.
struct IrisDataModuleOptions {
  int64_t batch_size = 32;
  double val_split = 0.1;
  double test_split = 0.1;
  bool shuffle = true;
  bool stratify = false;
  int64_t seed = 42;
  std::string dtype = "float32";
  bool drop_last = false;
  int64_t num_workers = 0;
  bool pin_memory = false;
};

Fields describe(IrisDataModuleOptions& options);

/// Fisher's irises, part of the library: 150 flowers, 4 lengths in cm (sepal length and width,
/// petal length and width), 3 species of 50 each: 0 setosa, 1 versicolor, 2 virginica. Source:
/// doi:10.1111/j.1469-1809.1936.tb02137.x; datamodules/data/README.md has the licence.
class IrisDataModule : public ArrayDataModule {
 public:
  using Options = IrisDataModuleOptions;
  explicit IrisDataModule(IrisDataModuleOptions options = {});
  Value hyper_parameters() const override;

 private:
  IrisDataModuleOptions options_;
};

}  // namespace levin
