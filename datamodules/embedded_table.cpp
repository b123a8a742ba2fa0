#include <levin/datamodules/embedded_table.h>

#include <ATen/ops/tensor.h>

#include <levin/datamodules/readers/csv.h>

namespace levin::embedded {

Table read_table(std::string_view csv, std::string_view name) {
  readers::CsvOptions options;
  options.target_column = "-1";
  const auto table = readers::parse_csv(csv, name, options);
  const auto columns = static_cast<int64_t>(table.columns.size());
  return {at::tensor(table.values, at::kDouble).view({table.rows, columns}),
          at::tensor(table.targets, at::kDouble).to(at::kLong)};
}

}  // namespace levin::embedded
