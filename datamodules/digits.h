#pragma once

#include <cstdint>
#include <string>

#include <levin/datamodules/array.h>

namespace levin {

/// Options of DigitsDataModule; ArrayDataModuleOptions describes those without a comment.
struct DigitsDataModuleOptions {
  int64_t batch_size = 32;
  double val_split = 0.1;
  double test_split = 0.1;
  bool shuffle = true;
  bool stratify = false;
  int64_t seed = 42;
  /// Divides the pixels by 16, so that they are from 0 to 1.
  bool scale = true;
  std::string dtype = "float32";
  bool drop_last = false;
  int64_t num_workers = 0;
  bool pin_memory = false;
};

Fields describe(DigitsDataModuleOptions& options);

/// Handwritten digits, part of the library: 1,797 images of 8x8 pixels as rows of 64, classes 0
/// to 9. Source: doi:10.24432/C50P49; datamodules/data/README.md has the licence.
class DigitsDataModule : public ArrayDataModule {
 public:
  using Options = DigitsDataModuleOptions;
  explicit DigitsDataModule(DigitsDataModuleOptions options = {});
  Value hyper_parameters() const override;

 private:
  DigitsDataModuleOptions options_;
};

}  // namespace levin
