"""A trainer class for nnU-Net, which finds it by the environment variable nnUNet_extTrainer. It runs in nnU-Net's own
environment and knows nothing else of this project."""

import os

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class nnUNetTrainerLumbarflow(nnUNetTrainer):
    """nnU-Net's default training, of as many epochs and iterations as the config says; batch size 0: the plan's."""

    def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cuda")):  # noqa: B008
        epochs, iterations, batch = (int(number) for number in os.environ["LUMBARFLOW_NNUNET"].split())
        if batch:
            plans["configurations"][configuration]["batch_size"] = batch
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch = epochs, iterations
        self.num_val_iterations_per_epoch = max(iterations // 5, 1)  # nnU-Net: 50 of 250
        self.save_every = 1  # a killed training goes on from its last epoch

    def save_checkpoint(self, filename):
        """As nnU-Net's, but a kill leaves the checkpoint before, not half of one."""
        super().save_checkpoint(f"{filename}.part")
        os.replace(f"{filename}.part", filename)

    def perform_actual_validation(self, save_probabilities=False):
        """Nothing: volumes that were not in training are predicted and scored as those of every experiment are."""
