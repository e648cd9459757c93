"""The vocabulary: names of columns by the role that they say, best first, with what is known of each kind of name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """Names of one meaning, as name_of gives them. A kind is taken before the next; within one a choice is asked for.

    text     the names, with spaces between them
    why      what is said of a column that is taken by such a name
    measure  the unit of a loss of that name; empty: the name does not say
    """

    text: str
    why: str = ""
    measure: str = ""
    is_perplexity: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.text.split())


KINDS: dict[str, tuple[Kind, ...]] = {
    "params": (
        Kind(
            "params parameters n_params num_params nparams n_parameters num_parameters param_count parameter_count "
            "model_params number_of_parameters model_size size_params"
        ),
        Kind(
            "params_non_embedding non_embedding_params n_params_non_embedding num_non_embedding_params "
            "non_embedding_parameters params_no_embedding params_without_embedding params_non_emb non_emb_params "
            "params_nonembedding nonembedding_params n_non_embedding scaling_params"
        ),
        Kind(
            "params_total total_params total_parameters n_params_total num_params_total trainable_params "
            "num_trainable_params n_trainable_params"
        ),
        Kind(
            "active_params active_parameters params_active activated_params params_activated activated_parameters "
            "n_active_params num_active_params"
        ),
    ),
    "tokens": (
        Kind(
            "tokens n_tokens num_tokens ntokens training_tokens train_tokens tokens_seen tokens_trained "
            "total_tokens tokens_total n_train_tokens num_train_tokens consumed_tokens tokens_consumed token_count "
            "data_tokens throughput_total_tokens num_input_tokens_seen number_of_tokens tokens_processed"
        ),
    ),
    "flops": (
        Kind(
            "flops flop compute training_flops train_flops training_flop total_flops n_flops num_flops "
            "training_compute compute_flops flops_total total_flos flos total_training_flops "
            "throughput_total_training_flops"
        ),
        Kind("flops_budget target_flops"),
    ),
    "loss": (
        Kind(
            "val_loss validation_loss valid_loss eval_loss dev_loss loss_val loss_validation loss_eval val_losses "
            "final_val_loss final_validation_loss final_eval_loss val_cross_entropy val_ce val_ce_loss "
            "validation_cross_entropy eval_cross_entropy eval_ce_loss heldout_loss val_nll val_lm_loss "
            "lm_loss_validation validation_loss_nats val_loss_epoch validation_epoch_loss val_epoch_loss "
            "eval_epoch_loss lm_loss_validation_lm_loss_validation"
        ),
        Kind("test_loss loss_test final_test_loss test_cross_entropy test_loss_epoch test_epoch_loss"),
        Kind(
            "best_val_loss min_val_loss val_loss_min best_eval_loss best_validation_loss lowest_val_loss",
            why="the lowest seen, which is biased downwards",
        ),
        Kind(
            "final_loss loss loss_final cross_entropy ce_loss cross_entropy_loss nll lm_loss pretraining_loss ce xent"
        ),
        Kind("val_bpb bpb bits_per_byte val_bits_per_byte eval_bpb", measure="bits per byte"),
        Kind(
            "val_ppl val_perplexity validation_perplexity eval_perplexity valid_ppl eval_ppl test_ppl "
            "test_perplexity perplexity ppl",
            why="a perplexity, of which the logarithm is taken",
            measure="nats",
            is_perplexity=True,
        ),
        Kind(
            "train_loss training_loss loss_train train_ce_loss final_train_loss train_cross_entropy train_lm_loss "
            "loss_training train_loss_epoch train_loss_step train_epoch_loss lm_loss_training_lm_loss "
            "loss_metrics_global_avg_loss",
            why="a training loss: the table has none on validation data",
        ),
    ),
    "cluster": (
        Kind("cluster"),
        Kind("run_name run_id run run_uuid wandb_id wandb_name"),
        Kind("name id trial_id trial model model_name experiment experiment_name exp_name"),
    ),
    "arm": (Kind("arm"),),
    "unique_tokens": (Kind("unique_tokens n_unique_tokens num_unique_tokens dataset_tokens"),),
}
VOCABULARY: dict[str, tuple[tuple[str, ...], ...]] = {
    role: tuple(kind.names for kind in kinds) for role, kinds in KINDS.items()
}
# of a loss, the places of its kinds above
VALIDATION, TEST, _, PLAIN, _, _, TRAIN = range(len(KINDS["loss"]))
LETTERS = {"params": "N", "tokens": "D", "flops": "C", "loss": "L", "unique_tokens": "U"}
ACTIVE = frozenset(VOCABULARY["params"][-1])
# tokens for each parameter: with the parameters, the tokens
RATIOS = frozenset(
    "tokens_per_param tokens_per_parameter tokens_per_params token_param_ratio tokens_to_params tpp tokens_param "
    "tokens_params tokens_parameter d_n".split()
)
# passes over the training split: with the unique tokens, the tokens
EPOCHS = frozenset(("epochs", "num_epochs", "n_epochs", "num_train_epochs"))
# in the parts of a name before its last: what a loss was taken on
ON = {
    TRAIN: frozenset(("train", "training")),
    TEST: frozenset(("test", "testing")),
    VALIDATION: frozenset("val valid validation eval evaluation dev heldout holdout".split()),
}
# there, too: what leaves the meaning of the last part as it is. Of any other, such as teacher.params, nothing is known
NEUTRAL = frozenset(
    "model network net arch architecture data dataset train training trainer pretrain pretraining run job experiment "
    "global total final end last result results output outputs stats statistics info meta metadata spec setup cfg "
    "configuration budget scaling throughput perf performance progress system hps lm llm transformer user attrs".split()
)
# in the name of a loss: a part of what is minimised, or how losses spread; never the loss itself
OTHER_LOSS = frozenset(
    "aux auxiliary router routing balance balancing z kl distill distillation reg regularization penalty teacher "
    "reward scale scaling delta diff difference excess reducible irreducible gap ratio weight count".split()
)
SPREADS = frozenset(
    "se sem std stdev stddev sd stderr errorbar ci ci95 var variance uncertainty sigma err pm moe halfwidth".split()
)
# in the name of an error bar: a standard error; with a level, half of an interval; an end of an interval
STANDARD_ERRORS = frozenset(("se", "sem", "stderr"))
ERRORS = frozenset(("err", "error", "errors"))
HALVES = frozenset(("half", "halfwidth", "hw", "pm", "moe", "margin"))
ENDS = frozenset("low lower lo high upper hi min max width".split())
# names of error bars without what they are the error of
BARE = frozenset("se sem stderr std_err std_error standard_error error_bar errorbar uncertainty".split())
ERROR_RATES = ERRORS | {"wer", "cer", "mistakes"}
# shares of right answers: each answer is right or wrong
SHARES = frozenset("accuracy acc acc1 acc5 top1 top5 em exact_match pass winrate".split())
ACCURACIES = SHARES | frozenset("f1 bleu rouge auc auroc map miou".split())
RATES = frozenset("win solve success hit".split())  # before `rate`: shares, too
# what rises, mostly; a benchmark's bare name does not say what of it was measured
SCORES = (ACCURACIES - SHARES) | frozenset(
    "score mmlu hellaswag piqa winogrande boolq gsm8k humaneval mbpp triviaqa lambada bbh truthfulqa openbookqa sciq "
    "siqa csqa arc copa glue squad".split()
)
CORRECT = frozenset("correct successes solved passed".split())  # counts of right answers
# what rises as models get better, and is neither a loss nor a share
RISING = frozenset("elo reward rewards return returns loglik loglikelihood likelihood logprob logprobs logp".split())
NEGATIVE = frozenset(("negative", "neg", "minus"))
PERCENT = frozenset(("percent", "percentage", "pct", "%"))
PARAMS = frozenset("param params parameter parameters nparams size n paramètres".split())
NO_PARAMS = frozenset(
    "batch vocab vocabulary hidden embed data dataset file step steps context train test val sample samples window "
    "cluster effect kernel image patch chunk buffer grid token tokens lr group mb gb bytes mlp ffn head heads layer "
    "layers seq sequence opt optimal star seeds nodes gpus devices workers experts embedding emb per".split()
)
TOKENS = frozenset("token tokens tok data dataset samples examples sequences images bytes d jetons".split())
NO_TOKENS = frozenset(
    "per second sec s vocab val valid validation eval test batch context unique path name loss seed id acc model "
    "memory peak file mb gb layers heads hash fingerprint opt optimal star".split()
)
LOSSES = frozenset(
    "loss losses nll xent ce crossentropy entropy perplexity ppl bpb bpc verlust perte validierungsverlust".split()
)
