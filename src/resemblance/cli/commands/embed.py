"""``resemblance embed RUN``: draw the latent space."""

from __future__ import annotations

from resemblance.api import open_run
from resemblance.cli.console import screen
from resemblance.config.commands import EmbedCommand
from resemblance.report.figure_files import check_picture, save_figure
from resemblance.report.latent_space import embedded_images, latent_space_figure
from resemblance.runs.run import choose_split


def run(options: EmbedCommand) -> int:
    """Draw images as points and prototypes as squares."""
    with screen(options.json) as out:
        run = open_run(options.run, allow_import=options.allow_import, accelerator=options.accelerator)
        path = check_picture(run.output_path(options.output, "latents.png"))
        splits = run.images(options.data, options.skip_bad_images, options.labels)
        split, source = choose_split(splits, options.split)
        embedded = embedded_images(
            run, source, options.limit, options.seed, options.projection, options.batch_size, options.workers
        )
        save_figure(latent_space_figure(run, embedded), path)
        variance = "" if options.projection == "umap" else f", {embedded.explained:.0%} of the variance"
        count = len(embedded.prototypes)  # 0 if prototypes are not vectors
        prototypes = f" and {run.model.traits.words.count(count)}" if count else ""
        out.say(f"{len(embedded.labels)} {split} images{prototypes}{variance}: {path}")
        out.result(
            {
                "run": run.name,
                "split": split,
                "projection": options.projection,
                "explained": None if options.projection == "umap" else embedded.explained,
                "figure": str(path),
                "images": embedded.images.tolist(),
                "labels": embedded.labels.tolist(),
                "prototypes": embedded.prototypes.tolist(),
            }
        )
    return 0
