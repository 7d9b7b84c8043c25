"""The documentation of the parameters and attributes that both estimators have."""

from __future__ import annotations

PARAMETERS = {
    "parameters": """Parameters
    ----------
    hidden_layer_sizes : whole numbers from 1, default=(100,)
        The neurons of each hidden layer.
    activation : str, default='relu'
        Of the hidden layers: 'identity', 'logistic', 'tanh', 'relu', and 'leaky_relu', 'elu', 'gelu', 'silu', 'softplus'.
    solver : str, default='adam'
        'adam', 'sgd', 'rmsprop', or 'adamw', whose `alpha` is decoupled weight decay. There is no 'lbfgs'.
    alpha : float, default=0.0001
        The L2 penalty of the weights. (`loss_curve_` does not have it, unlike scikit-learn's.)
    batch_size : int or 'auto', default='auto'
        Samples of a mini-batch; 'auto' is `min(200, n)`.
    learning_rate : str, default='constant'
        For 'sgd': 'constant', 'invscaling' (by `power_t`) or 'adaptive' (a fifth, where the loss no longer falls).
    learning_rate_init : float, default=0.001
    power_t : float, default=0.5
    max_iter : int, default=200
        The most epochs.
    shuffle : bool, default=True
        Whether samples are shuffled before each epoch.
    random_state : int, RandomState or None, default=None
        Of initial values, mini-batches, dropout and what is held out: the same number gives the same bits.
    tol : float, default=1e-4
        Training stops when the loss (with `early_stopping` the score) has not improved by so much in more than
        `n_iter_no_change` epochs in a row.
    verbose : bool, default=False
    warm_start : bool, default=False
        Whether `fit` goes on from the parameters of the last one.
    momentum : float, default=0.9
        For 'sgd'.
    nesterovs_momentum : bool, default=True
        For 'sgd'.
    early_stopping : bool, default=False
        Whether a part of the data is held out and scored after each epoch, and the best epoch's parameters are restored.
    validation_fraction : float, default=0.1
        How much is held out.
    beta_1 : float, default=0.9
        For 'adam' and 'adamw'.
    beta_2 : float, default=0.999
        For 'adam' and 'adamw'.
    epsilon : float, default=1e-8
    n_iter_no_change : int, default=10
    dropout : float, default=0
        The probability with which a hidden neuron is left out of a step.
    n_members : int, default=1
        Networks with seeds of their own that are trained side by side, and whose predictions are averaged.
    device : str, default='cpu'
        'cpu'; a GPU: 'gpu', a backend ('vulkan', 'metal', 'dx12') or a part of an adapter's name; or 'auto': the best GPU if
        a step's forward pass is of at least 2^22 multiplications (weights times samples of a mini-batch), else the CPU.""",
    "attributes": """coefs_, intercepts_ : lists of arrays [i, o] and [o]
        Copies of the weights and biases, float32; of an ensemble, its first member's.
    loss_, loss_curve_, best_loss_ : float, list of float, float
        The loss of the last epoch, of each (without the penalty), and the least.
    validation_scores_, best_validation_score_ : list of float, float
        Accuracy or R² on what is held out, or on `eval_set`.
    n_iter_ : int
        Epochs of the last `fit`.
    members_ : list of dict
        'loss_curve' and 'n_iter' of each member.
    n_features_in_, feature_names_in_, n_layers_, n_outputs_, out_activation_, t_
        As in scikit-learn.""",
}
