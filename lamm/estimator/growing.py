"""A classifier that grows: classes added, changed, taken away and merged, the others as they are.

Letters: n photos, k views, N classes, D width of the text tower, E embedding size.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamm.errors import ConfigError, DataError, unknown_name
from lamm.estimator.file import PHOTO_BYTES, Knowledge, Origin, no_photos, rounded
from lamm.estimator.joining import (
    LABELS,
    labels_of,
    less,
    merged,
    news,
    require_alike,
    selected,
    with_labels,
)
from lamm.estimator.labels import Draws, learn_labels
from lamm.estimator.model import config_from, photo_hashes, today
from lamm.estimator.names import alike, require_name, require_names
from lamm.estimator.photos import as_files, as_files_each, class_folders
from lamm.estimator.progress import Progress, told
from lamm.estimator.training import quiet, seeded, trainer_class
from lamm.gda import ClassStatistics

SAME = ("ask", "average", "apart")


class Growing:
    """What a classifier can be told after it was fitted.

    Each change is done wholly or, if it fails, not at all.
    """

    _knowledge: Knowledge
    _clip: Any
    _model: Any
    _original: Tensor | None
    classes_: np.ndarray

    def _fitted(self) -> Knowledge:
        raise NotImplementedError

    def _keep(self, knowledge: Knowledge) -> None:
        raise NotImplementedError

    def _features_of(self, files: Sequence[str], cfg: Any, views: int = 0) -> Tensor:
        raise NotImplementedError

    def _forget_left_out(self, place: int) -> None:
        raise NotImplementedError

    def add_class(self, name: str, photos: Any, progress: Progress | None = None) -> Any:
        """Learn one more class; the vectors and text features of the others stay the same, bit for bit.

        Args:
            name: of the class.
            photos: of it.
            progress: see `Classifier.fit`.
        """
        return self.add_classes({name: photos}, progress)

    def add_classes(self, photos: Mapping[str, Any], progress: Progress | None = None) -> Any:
        """Learn several new classes together; see `add_class`.

        Args:
            photos: name → photos.
            progress: see `Classifier.fit`.

        Raises:
            DataError: a name that there is already, or photos that can't be read.
            ConfigError: a method that has no labels to learn one by one.
        """
        self._require_growing()
        for name in photos:
            self._require_new_name(name)
        with as_files_each(photos) as files:
            self._learn({name: _fresh(of_class, [no_photos()]) for name, of_class in files.items()}, "add", progress)
        return self

    def add_photos(self, name: str, photos: Any, progress: Progress | None = None) -> Any:
        """Learn one class anew, from new photos and what is known of the earlier ones; the others stay as they are.

        Photos that it was learned from already count once.
        """
        knowledge = self._require_growing()
        place = self._place(name)
        with as_files(photos) as files:
            new = _fresh(files, [knowledge.photos[place]])
            if new:
                self._learn({knowledge.names[place]: new}, "add", progress)
        return self

    def move(self, photo: Any, source: str, target: str, progress: Progress | None = None) -> Any:
        """Take a photo from one class to another; both are learned anew, the others stay as they are.

        Args:
            photo: one that `source` was learned from.
            source: the class that it was in.
            target: the class that it shows.
            progress: see `Classifier.fit`.

        Raises:
            DataError: the photo is not one that `source` was learned from, or is its only one.
        """
        self._require_growing()
        if self._place(source) == self._place(target):
            return self
        with as_files([photo]) as files:
            without = self._without(source, files)
            new = _fresh(files, [without.photos[self._place(target)]])  # none if the target has it already
            self._learn({str(source): [], str(target): new}, "move", progress, without)
        return self

    def remove_photos(self, name: str, photos: Any, progress: Progress | None = None) -> Any:
        """Forget photos of a class, which is learned anew; the others stay as they are.

        Args:
            name: of the class.
            photos: that it was learned from; `update` does not learn them again.
            progress: see `Classifier.fit`.

        Raises:
            DataError: one of them is not such a photo, or no other is left.
        """
        knowledge = self._require_growing()
        with as_files(photos) as files:
            passed = torch.cat([knowledge.passed, photo_hashes(files)])
            without = dataclasses.replace(self._without(name, files), passed=passed)
            self._learn({str(name): []}, "remove", progress, without)
        return self

    def _without(self, name: str, files: Sequence[str]) -> Knowledge:
        """What is known without photos of a class, whose label still is of all of them."""
        knowledge, place = self._fitted(), self._place(name)
        own = [bytes(row.tolist()) for row in knowledge.photos[place]]
        for file, row in zip(files, photo_hashes(files), strict=True):
            if bytes(row.tolist()) not in own:
                raise DataError(f'{os.path.basename(file)} is not a photo that "{name}" was learned from')
            own.remove(bytes(row.tolist()))
        statistics = knowledge.statistics
        assert statistics is not None
        if round(statistics.count[place].item()) <= len(files) * knowledge.views:
            raise DataError(f'no other photo of "{name}" is left: remove the class')
        photos = list(knowledge.photos)
        photos[place] = torch.tensor([list(row) for row in own], dtype=torch.uint8).view(len(own), PHOTO_BYTES)
        statistics = rounded(less(statistics, place, self._views_of(files)))
        return dataclasses.replace(knowledge, statistics=statistics, photos=photos)

    def rename(self, old: str, new: str) -> Any:
        """Call a class something else; what it has learned stays."""
        knowledge, place = self._fitted(), self._place(old)
        require_name(new, knowledge.numbers)
        if alike(str(new)) != alike(str(old)):
            self._require_new_name(new)
        names = [*knowledge.names]
        names[place] = str(new)
        measured = tuple(str(new) if name == old else name for name in knowledge.confidence.classes)
        confidence = dataclasses.replace(knowledge.confidence, classes=measured)
        self._keep(dataclasses.replace(knowledge, names=names, confidence=confidence))
        return self

    def remove(self, name: str) -> Any:
        """Forget a class; the others stay as they are."""
        knowledge, place = self._fitted(), self._place(name)
        self._require_classes_apart("forget")
        if len(knowledge.names) == 1:
            raise DataError(f'"{name}" is the last class: a classifier needs one')
        left = selected(knowledge, [other for other in range(len(knowledge.names)) if other != place])
        self._keep(dataclasses.replace(left, passed=torch.cat([knowledge.passed, knowledge.photos[place]])))
        self._forget_left_out(place)
        return self

    def merge(self, other: Any, same: str = "ask") -> Any:
        """Take over the classes of another classifier of the same backbone, preprocessing and context.

        Args:
            other: it stays as it is.
            same: what happens to a class that both have: `ask` refuses it, `average` makes one of both, unless the
                other's photos are known already, `apart` keeps both, the other's with " (2)" behind its name.

        Raises:
            ConfigError: classifiers that don't go together; names the difference.
            DataError: classes that both have, with `same` "ask"; with "average", a class some of whose photos both have
                learned: they would count twice.
        """
        if same not in SAME:
            raise ConfigError(unknown_name("value of same", same, SAME))
        if not isinstance(other, Growing):
            raise ConfigError(f"merge takes a classifier, not {type(other).__name__}: lamm.load(file) gives one")
        own, theirs = self._require_growing(), other._require_growing()
        require_alike(own, theirs)
        if same == "average":
            new = news(own, theirs)
            if new is None:
                return self
            theirs = new
        joined = merged(own, theirs, same)
        averaged = [own.names.index(name) for name in theirs.names if name in own.names and same == "average"]
        if averaged:
            vectors = [labels_of(joined)[place] for place in averaged] if LABELS in joined.learned else []
            text = joined.text.clone()
            text[averaged] = self._part([joined.words[place] for place in averaged], vectors)[1]
            joined = dataclasses.replace(joined, text=text)
        self._keep(joined)
        return self

    def update(self, folder: str | os.PathLike[str], progress: Progress | None = None) -> dict[str, int]:
        """Learn what is new in a folder that has a folder for each class: new classes, and new photos of known ones.

        Returns:
            Class → number of photos that were learned now.

        Raises:
            DataError: the folder has no folders with photos.
        """
        knowledge = self._require_growing()
        # What was moved, renamed, removed or held out is known too: it is not learned again.
        known: list[Tensor] = [*knowledge.photos, knowledge.passed]
        new: dict[str, list[str]] = {}
        for name, files in class_folders(folder).items():
            if fresh := _fresh(files, known):
                new.setdefault(self._class_of_folder(name), []).extend(fresh)
        new = {name: _fresh(files, known) for name, files in new.items()}
        for name in new.keys() - set(knowledge.names):
            self._require_new_name(name)
        if new:
            self._learn(new, "update", progress)
        return {name: len(files) for name, files in new.items()}

    def _class_of_folder(self, name: str) -> str:
        """The class that a folder's photos go to: of that name, or the one that had it first; else a new one.

        Raises:
            DataError: several had it first.
        """
        knowledge = self._fitted()
        for names in (knowledge.names, knowledge.words):
            of_name = [place for place, one in enumerate(names) if alike(one) == alike(name)]
            if len(of_name) > 1:
                own = ", ".join(f'"{knowledge.names[place]}"' for place in of_name)
                raise DataError(f'the folder "{name}" may be of {own}: give it the name of one of these')
            if of_name:
                return knowledge.names[of_name[0]]
        return name

    def _learn(
        self,
        photos: Mapping[str, Sequence[str]],
        how: str,
        progress: Progress | None,
        knowledge: Knowledge | None = None,
    ) -> None:
        """Learn the labels of classes, new ones or known ones with new photos, beside the others.

        Args:
            photos: name → files of photos that the statistics don't have yet.
            how: of the classes' `Origin`.
            progress: see `Classifier.fit`.
            knowledge: what is known; None: what was.
        """
        with told(progress) as progress:
            self._keep(self._learned(photos, how, progress, knowledge or self._fitted()))

    def _learned(
        self, photos: Mapping[str, Sequence[str]], how: str, progress: Progress, knowledge: Knowledge
    ) -> Knowledge:
        """What is known after that."""
        assert knowledge.statistics is not None
        size = knowledge.text.shape[1]
        new = [name for name in photos if name not in knowledge.names]
        names, words = [*knowledge.names, *new], [*knowledge.words, *new]
        require_names(names, knowledge.numbers)
        chosen = [names.index(name) for name in photos]
        files = [file for of_class in photos.values() for file in of_class]
        progress(0.0, "encoding")
        features = self._views_of(files) if files else torch.zeros(0, knowledge.views, size)  # (n, k, E)
        places = [place for place, of_class in zip(chosen, photos.values(), strict=True) for _ in of_class]

        before = knowledge.statistics.placed(torch.arange(len(knowledge.names)), len(names))
        after = before + ClassStatistics.of(features, torch.tensor(places, dtype=torch.long), len(names))
        hashes = [*knowledge.photos, *[no_photos() for _ in new]]
        origins = [*knowledge.origins, *[Origin(how, today(), 0) for _ in new]]
        for place, of_class in zip(chosen, photos.values(), strict=True):
            hashes[place] = torch.cat([hashes[place], photo_hashes(of_class)])
            count = round(after.count[place].item() / knowledge.views)
            origins[place] = Origin(how, today(), count)

        text, vectors = torch.cat([knowledge.text, torch.zeros(len(new), size)]), labels_of(knowledge)
        taught = chosen if vectors else [place for place in chosen if place >= len(knowledge.names)]
        if taught:
            part, _ = self._part([words[place] for place in taught])
            if vectors:
                own = self._taught(part, chosen, before, features, places, progress)
                of_place = {**dict(enumerate(vectors)), **dict(zip(chosen, own, strict=True))}
                vectors = [of_place[place] for place in range(len(names))]
            with torch.no_grad():
                text[taught] = part.text_features()[0].cpu()
        return dataclasses.replace(
            knowledge,
            names=names,
            origins=origins,
            photos=hashes,
            text=text,
            statistics=rounded(after),
            accuracy={},
            **with_labels(knowledge, words, vectors),
        )

    def _taught(
        self,
        part: Any,
        chosen: Sequence[int],
        before: ClassStatistics,
        features: Tensor,
        places: Sequence[int],
        progress: Progress,
    ) -> list[Tensor]:
        """The label vectors of the chosen classes, learned beside the others.

        Args:
            part: a learner of the chosen classes.
            chosen: their places among all.
            before: statistics of all classes, without the new photos.
            features: of the new photos' views, (n, k, E).
            places: the class of each, (n,).
            progress: see `Classifier.fit`.
        """
        knowledge = self._fitted()
        cfg = config_from(knowledge.settings)
        others = [place for place in range(len(knowledge.names)) if place not in chosen]
        order = torch.tensor([*chosen, *others])
        draws = Draws(ClassStatistics(before.count[order], before.sum[order], before.outer), knowledge.views)
        local = torch.tensor([chosen.index(place) for place in places], dtype=torch.long)
        rest = knowledge.text[others], self._original_text()[others]
        with seeded(cfg.SEED), self._clip.suited_threads():
            learn_labels(part, *rest, draws, features, local, cfg, progress)
        return [one.clone() for one in part.label_embeddings.detach().cpu().split(part.label_counts)]

    def _part(self, words: Sequence[str], vectors: Sequence[Tensor] = ()) -> tuple[Any, Tensor]:
        """A learner of some classes with the context of all, labels from their names or given; its text features."""
        knowledge = self._fitted()
        cfg, trainer = config_from(knowledge.settings), trainer_class(knowledge.trainer)
        device = self._clip.logit_scale.device
        with quiet():
            part = trainer.make_learner(cfg, self._clip, list(words), knowledge.templates).to(device)
        own = part.state_dict()
        context = {
            name: value
            for name, value in knowledge.learned.items()
            if name != LABELS and torch.is_tensor(own.get(name)) and own[name].shape == value.shape
        }
        part.load_state_dict(context, strict=False)
        with torch.no_grad():
            if vectors:
                part.label_embeddings.copy_(torch.cat(list(vectors)))
            return part, part.text_features()[0].cpu()

    def _original_text(self) -> Tensor:
        """Unit features of the hand-written prompts of all classes, (N, E)."""
        if self._original is None:
            self._original = self._model.learner.hand_written_features()[0].cpu()
        return self._original

    def _views_of(self, files: Sequence[str]) -> Tensor:
        """The views of photos that the statistics are of, (n, k, E)."""
        knowledge = self._fitted()
        cfg = config_from(knowledge.settings)
        if cfg.INPUT.CACHE_VIEWS:
            return self._features_of(files, cfg, knowledge.views)
        return self._features_of(files, cfg)[:, None]

    # What is refused.

    def _require_growing(self) -> Knowledge:
        knowledge = self._fitted()
        self._require_classes_apart("learn")
        if knowledge.statistics is None:
            raise ConfigError(
                "this classifier does not know how its photos are distributed, since a run of "
                f"{knowledge.trainer} does not keep it: fit it again to let it grow"
            )
        return knowledge

    def _require_classes_apart(self, what: str) -> None:
        """Refuse a method whose classes can't be taken apart."""
        knowledge, learner = self._fitted(), self._model.learner
        rows = {f"head.{name}" for name in ("rows", "offsets", "count", "sum")}
        by_class = set(learner.per_class_tensors()) - rows
        has_classes = LABELS in knowledge.learned or "head.alpha" in knowledge.learned
        if not has_classes or by_class or learner.per_image or learner.changes_images:
            raise ConfigError(
                f"{knowledge.trainer} can't {what} class by class: fit again with all photos, or use LAMM_GDA, LAMM, "
                "CoOp_LAMM, KgCoOp_LAMM or GDA"
            )

    def _require_new_name(self, name: str) -> None:
        require_name(name, self._fitted().numbers)
        if any(alike(str(name)) == alike(one) for one in self._fitted().names):
            raise DataError(f'there is a class "{name}" already: add_photos adds photos to it')

    def _place(self, name: str) -> int:
        names = self._fitted().names
        if str(name) not in names:
            raise DataError(unknown_name("class", str(name), names))
        return names.index(str(name))


def _fresh(files: Sequence[str], known: Sequence[Tensor]) -> list[str]:
    """Those files, each content once, whose hash is not among the known ones, (n, PHOTO_BYTES) each."""
    seen, fresh = {bytes(row.tolist()) for rows in known for row in rows}, []
    for file, row in zip(files, photo_hashes(files), strict=True):
        content = bytes(row.tolist())
        if content not in seen:
            seen.add(content)
            fresh.append(file)
    return fresh
