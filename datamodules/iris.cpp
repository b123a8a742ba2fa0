#include <levin/datamodules/iris.h>

#include <levin/datamodules/data/embedded.h>
#include <levin/datamodules/embedded_table.h>

namespace levin {
namespace {

const embedded::Table& iris() {
  static const auto table = embedded::read_table(data::iris_csv(), "iris.csv");
  return table;
}

}  // namespace

Fields describe(IrisDataModuleOptions& o) {
  return fields_of<IrisDataModuleOptions>({
      {"batch_size", &o.batch_size, "rows of a batch on each device"},
      {"val_split", &o.val_split, "share of the rows to validate on"},
      {"test_split", &o.test_split, "share of the rows to test on"},
      {"shuffle", &o.shuffle, "shuffle before splitting and in each epoch"},
      {"stratify", &o.stratify, "split so that every species has its share of each set"},
      {"seed", &o.seed, "seed of the split"},
      {"dtype", &o.dtype, "type of the features: float32 or float64"},
      {"drop_last", &o.drop_last, "leave out a last training batch that isn't full"},
      {"num_workers", &o.num_workers, "threads that prepare batches ahead"},
      {"pin_memory", &o.pin_memory, "put batches into page-locked memory for CUDA"},
      {"standardize", &o.standardize, "features to mean 0 and deviation 1 in the training rows"},
  });
}

IrisDataModule::IrisDataModule(IrisDataModuleOptions options)
    : ArrayDataModule(iris().x, iris().y, embedded::array_options(options, 3)),
      options_(std::move(options)) {
  set_class_names({"setosa", "versicolor", "virginica"});
}

Value IrisDataModule::hyper_parameters() const {
  auto options = options_;
  return to_value(describe(options));
}

}  // namespace levin
