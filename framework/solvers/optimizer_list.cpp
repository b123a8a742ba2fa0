#include <levin/framework/solvers/optimizer_list.h>

#include <levin/framework/optimizers/adagrad.h>
#include <levin/framework/optimizers/adam.h>
#include <levin/framework/optimizers/adamw.h>
#include <levin/framework/optimizers/lbfgs.h>
#include <levin/framework/optimizers/rmsprop.h>
#include <levin/framework/optimizers/sgd.h>
#include <levin/framework/solvers/coordinate_descent.h>
#include <levin/framework/solvers/dual_coordinate_descent.h>
#include <levin/framework/solvers/lockstep_newton.h>
#include <levin/framework/solvers/newton_cg.h>
#include <levin/framework/solvers/newton_cholesky.h>
#include <levin/framework/solvers/online_methods.h>
#include <levin/framework/solvers/quasi_newton.h>
#include <levin/framework/solvers/saga.h>

namespace levin {

bool is_solver(const OptimizerList::Entry& optimizer) {
  return to_value(optimizer.draft().fields).contains("tol");
}

const OptimizerList& shipped_optimizers() {
  static const OptimizerList optimizers = [] {
    OptimizerList list("optimizer");
    list.add<SGD>("SGD", "gradient descent, with momentum if asked for");
    list.add<Adam>("Adam", "scales steps by running means of the gradient and its square");
    list.add<AdamW>("AdamW", "Adam with decoupled weight decay");
    list.add<Adagrad>("Adagrad",
                      "scales steps by the sum of squared gradients; suits sparse gradients");
    list.add<RMSprop>("RMSprop", "scales steps by a running mean of squared gradients");
    list.add<LBFGS>("LBFGS", "a quasi-Newton method, for batches of the whole data set");
    list.add<OnlineSGD>("OnlineSGD", "learns from single rows: gradient descent; lazy penalties");
    list.add<OnlineAdagrad>("OnlineAdagrad", "learns from single rows: Adagrad; lazy penalties");
    list.add<FTRL>("FTRL",
                   "learns from single rows: FTRL-proximal, with few weights that aren't 0");
    list.add<QuasiNewton>("lbfgs",
                          "a solver: L-BFGS over all rows; OWL-QN if there is an L1 penalty");
    list.add<NewtonCG>("newton-cg", "a solver: Newton steps by conjugate gradients");
    list.add<TrustRegionNewton>("trust-region", "a solver: Newton steps within a trust region");
    list.add<NewtonCholesky>("newton-cholesky", "a solver: Newton steps, for few parameters");
    list.add<CoordinateDescent>("coordinate-descent",
                                "a solver: one weight at a time; for L1 penalties");
    list.add<CoordinateDescentOrQuasiNewton>(
        "coordinate-descent-or-lbfgs", "a solver: coordinate-descent where possible, else lbfgs");
    list.add<DualCoordinateDescent>("dual-coordinate-descent",
                                    "a solver: one row at a time; for L2 penalties");
    list.add<LockstepNewton>("lockstep-newton",
                             "a solver: Newton steps of many regressions at once");
    list.add<SAG>("sag", "a solver: steps by single rows and their average gradient");
    list.add<SAGA>("saga", "a solver: as sag, for all penalties");
    return list;
  }();
  return optimizers;
}

}  // namespace levin
