#pragma once

#include <levin/framework/data/rows.h>

#include <string_view>

/// What makers and users of sparse rows need besides `Rows`:
///
///     const Rows words = sorted_entries(Rows::sparse(offsets, indices, counts, columns));
///     require_valid_entries(words, "words");          // as a TensorDataset does
///     const torch::Tensor x = to_dense(words);        // [rows, columns], zeros included
namespace levin {

/// Throws DataError, naming row and entry, unless the offsets of the sparse `rows` ascend from 0 to
/// the number of entries, the columns of each row's entries ascend strictly and are in
/// [0, columns), and all values are finite. `name` is what the error calls the rows, which must be
/// whole and on the CPU.
void require_valid_entries(const Rows& rows, std::string_view name);

/// Returns sparse rows with the entries of each row in the order of their columns, where those of
/// the same column are added up; rows without values get some if a column occurs twice. Shares the
/// memory of `rows` if nothing had to be done. The offsets must ascend, and `rows` be on the CPU.
Rows sorted_entries(const Rows& rows);

/// Returns rows as a dense tensor of their own, [size, ...]; the numbers of sparse rows that aren't
/// stored are 0. Rows that aren't sparse are returned as `Rows::tensor` gives them.
torch::Tensor to_dense(const Rows& rows);

}  // namespace levin
