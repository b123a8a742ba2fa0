#pragma once

#include <cstddef>
#include <vector>

#include <levin/tuning/study/trial.h>

namespace levin {

/// Points of several objectives that are all to be small, [points][objectives].
using LossPoints = std::vector<std::vector<double>>;

/// Returns the rank of each point: 0 for those that no other point dominates, 1 for those that only
/// these dominate, and so on. A point dominates another one if it is nowhere larger and somewhere
/// smaller; equal points have the same rank.
std::vector<size_t> nondomination_ranks(const LossPoints& points);

/// Returns the volume between the points and a reference that no point exceeds.
double hypervolume(const LossPoints& points, const std::vector<double>& reference);

/// Returns `count` of the points, as indices in ascending order, that together have a large
/// hypervolume: one after another, the point that adds most (a greedy solution of the hypervolume
/// subset selection problem, doi:10.1162/EVCO_a_00188). Of equal points, one is chosen before the
/// others are.
std::vector<size_t> largest_hypervolume_subset(const LossPoints& points, size_t count,
                                               const std::vector<double>& reference);

/// Returns the `count` best points as TPE chooses them, in ascending order of their indices: whole
/// ranks first, and of the rank that doesn't fit, the subset with a large hypervolume.
std::vector<size_t> best_points(const LossPoints& points, size_t count);

/// Returns the complete trials of a study that no other one dominates, in the order of their
/// numbers; with one objective, the best ones. Trials with a NaN don't count.
std::vector<const Trial*> pareto_front(const Study& study);

/// The values of a trial, negated if they are to be large.
std::vector<double> losses_of(const Study& study, const Trial& trial);

}  // namespace levin
