"""Small fabricated copies of published eye movements: true file names, keys, dtypes and orders."""

import json

import numpy as np
import pandas as pd
from PIL import Image
from scipy.io import savemat

from neurovis.core import StimulusSet, make_fixations
from neurovis.stimuli.asymmetry_experiments import CONDITIONS

OSIE_IMAGES = ("1001.jpg", "1002.jpg", "1004.jpg")


def make_osie(root, *, published=False, seed=0):
    """Three images, 15 people; the second person did not look at the third image at all."""
    rng = np.random.default_rng(seed)
    folder = root / "osie_freeviewing"
    images = folder / ("data/stimuli" if published else "stimuli")
    images.mkdir(parents=True)
    rows, cells = [], np.empty((len(OSIE_IMAGES), 1), dtype=object)
    for place, name in enumerate(OSIE_IMAGES):
        Image.fromarray(rng.integers(0, 255, (600, 800, 3), dtype="u1")).save(images / name)
        people = np.empty((15, 1), dtype=object)
        for person in range(15):
            n = 0 if (person, place) == (1, 2) else int(rng.integers(1, 5))
            x, y = rng.uniform(0, 799, n).round(1), rng.uniform(0, 599, n).round(1)
            duration = rng.integers(50, 400, n)
            people[person, 0] = {"fix_x": x[None], "fix_y": y[None], "fix_duration": duration[None]}
            rows += [(name, person + 1, k + 1, x[k], y[k], duration[k]) for k in range(n)]
        cells[place, 0] = {"img": name, "subjects": people}
    if published:
        (folder / "data" / "eye").mkdir()
        savemat(folder / "data" / "eye" / "fixations.mat", {"fixations": cells})
    else:
        columns = ["image", "subject", "fix_index", "x_px", "y_px", "duration_ms"]
        pd.DataFrame(rows, columns=columns).to_csv(folder / "fixations.tsv", sep="\t", index=False)
    return root


def make_interiors_search(root, *, seed=0):
    """Two scenes, three people; S02 saw the first one twice."""
    rng = np.random.default_rng(seed)
    folder = root / "interiors_search"
    for name in ("images", "templates"):
        (folder / name).mkdir(parents=True)
    trials = []
    for place, scene in enumerate(("grayscale_1_a", "grayscale_2_b")):
        Image.new("L", (1024, 768), 90).save(folder / "images" / f"{scene}.jpg")
        Image.new("L", (72, 72), 200).save(folder / "templates" / f"{scene}_template_1.jpg")
        left, top = 100.0 + 300 * place, 50.0 + 400 * place
        for person in ("S01", "S02", "S02", "S03") if place == 0 else ("S01", "S02", "S03"):
            n = int(rng.integers(2, 6))
            trials.append(
                {
                    "subject": person,
                    "image": f"{scene}.jpg",
                    "target": f"{scene}_template_1.jpg",
                    "trial_order": len(trials) + 1,
                    "image_size": [768.0, 1024.0],
                    "screen_size": [960.0, 1280.0],
                    "screen_rect": [-128.0, -96.0, 1152.0, 864.0],
                    "target_center": [left + 36, top + 36],
                    "target_rect": [left, top, left + 72, top + 72],
                    "nsaccades_allowed": 4,
                    "initial_position": [512.0, 300.0],
                    "target_found": n % 2,
                    "search_rt_s": 0.5 * n,
                    "reported_position": [left, top],
                    "reported_uncertainty_size": 40.0,
                    # The last one was clamped to the border.
                    "fix_x": [*rng.uniform(0, 1023, n - 1).round(1), 1024.0],
                    "fix_y": [*rng.uniform(0, 767, n - 1).round(1), 768.0],
                    "fix_dur_ms": rng.integers(60, 400, n).astype(float).tolist(),
                }
            )
    text = "\n".join(json.dumps(trial) for trial in trials)
    (folder / "trials.jsonl").write_text(text + "\n")
    return root


def make_coco_search18(root, *, images=True, seed=0):
    """Two files as published: target present (bbox, one fixation below the screen) and absent (no RT)."""
    rng = np.random.default_rng(seed)
    folder = root / "coco_search18"
    folder.mkdir(parents=True)
    kinds = {
        "present": ("TP_train_split1", "images", "train", (("potted plant", "000000000001.jpg"),)),
        "absent": (
            "TA_trainval",
            "coco_search18_images_TA",
            "valid",
            (("tv", "000000000001.jpg"), ("tv", "000000000002.jpg")),
        ),
    }
    for condition, (file, pictures, split, shown) in kinds.items():
        trials = []
        for task, name in shown:
            if images:
                (folder / pictures / task).mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (1680, 1050), (10, 20, 30)).save(folder / pictures / task / name)
            for person in (1, 2, 10):
                n = int(rng.integers(1, 5))
                trial = {
                    "name": name,
                    "subject": person,
                    "task": task,
                    "condition": condition,
                    "X": [840.0, *rng.uniform(0, 1679, n).round(1)],
                    "Y": [525.0, *rng.uniform(0, 1049, n - 1).round(1), 1217.7],
                    "T": rng.integers(50, 400, n + 1).tolist(),
                    "length": n + 1,
                    "correct": int(person != 2),
                    "split": split,
                }
                if condition == "present":
                    trial |= {"bbox": [100, 200, 50, 60], "RT": 700}
                trials.append(trial)
        (folder / f"coco_search18_fixations_{file}.json").write_text(json.dumps(trials))
    return root


def make_sti_amazon(root, *, seed=0):
    """Two collages; the first names its target in a list of one, the second as a bare record."""
    rng = np.random.default_rng(seed)
    folder = root / "sti_amazon"
    folder.mkdir(parents=True)
    collages = {}
    for place, (height, width) in enumerate(((1600, 2559), (1590, 2560))):
        box = {"xmin": 366, "xmax": 520, "ymin": 20, "ymax": 262}
        people = {
            str(person): rng.integers((0, 0), (width, height), (int(rng.integers(2, 8)), 2)).tolist()
            for person in range(1, 7)
        }
        collages[f"{place + 1}.jpg"] = {
            "fixations": people,
            "ground_truth": [box] if place == 0 else box,
            "size": {"height": height, "width": width},
            "target": f"target_{place}.jpg",
        }
    (folder / "Amazon.json").write_text(json.dumps(collages))
    return root


def make_gaze_reading(root, *, seed=0):
    """Two pages of two seconds in the format of the shared samples."""
    rng = np.random.default_rng(seed)
    folder = root / "gaze_samples_reading"
    folder.mkdir(parents=True)
    for name, start in (("trial_0_1", 1988145), ("trial_2_5", 77)):
        table = pd.DataFrame({"timestamp": start + np.arange(2000.0)})
        table["x"] = (200 + rng.normal(scale=0.3, size=2000)).round(2)
        table["y"] = (150 + rng.normal(scale=0.3, size=2000)).round(2)
        table["stimuli_x"] = table["stimuli_y"] = -1.0
        table.to_csv(folder / f"{name}.csv", sep="\t", index=False)
    return root


def make_mit1003(root, *, seed=0):
    """Two photographs of different size, two people: raw samples at 240 Hz, a blink as negative positions.

    Returns the root and, for each (person, image), the places and the first samples of the fixations.
    """
    rng = np.random.default_rng(seed)
    folder = root / "mit1003"
    (folder / "ALLSTIMULI").mkdir(parents=True)
    # MATLAB cuts names of variables after 63 letters.
    images = {"i05june05_static_street_boston_p1010764": (768, 1024), "istatic_" + "long" * 16: (405, 600)}
    truth = {}
    for name, (height, width) in images.items():
        picture = rng.integers(0, 255, (height, width, 3), dtype="u1")
        Image.fromarray(picture).save(folder / "ALLSTIMULI" / f"{name}.jpeg")
        for person in ("hp", "CNG"):
            (folder / "DATA" / person).mkdir(parents=True, exist_ok=True)
            places = [(width / 2, height / 2)] + [
                (width * x, height * y) for x, y in ((0.1, 0.2), (0.8, 0.3), (0.3, 0.9), (0.9, 0.9))
            ]
            samples, starts = [], []
            for place, target in zip(places, [*places[1:], None], strict=True):
                starts.append(len(samples))
                samples += [place] * int(rng.integers(130, 170))
                if target is not None:
                    way = np.linspace(0, 1, 9)[1:] ** 2 * (3 - 2 * np.linspace(0, 1, 9)[1:])
                    samples += list(np.array(place) + way[:, None] * np.subtract(target, place))
            xy = np.array(samples) + rng.normal(scale=0.3, size=(len(samples), 2))
            if person == "hp":
                xy[starts[3] + 40 : starts[3] + 90] = -500  # lost in the fourth fixation
            data = np.empty((1, 1), dtype=[("eyeData", object)])
            data[0, 0]["eyeData"] = xy
            variable = name[:63]
            savemat(
                folder / "DATA" / person / f"{name}.mat",
                {variable: {"imgName": f"{name}.jpeg", "DATA": data}},
            )
            truth[person, name] = (np.array(places), np.array(starts))
    savemat(folder / "DATA" / "hp" / "shuff_stimnames.mat", {"shuff_stimnames": np.arange(2)})
    return root, truth


SALICON_PLACES = {  # image -> worker -> (x, y) of pixels counted from 0
    "COCO_val2014_000000000042": {"7": [(0, 0), (639, 479), (10, 20)], "9": [(5, 6)]},
    "COCO_val2014_000000000073": {"7": [(100, 200)], "8": []},
}


def make_salicon(root, *, layout="json", images=True):
    """Two images in the JSON of 2015 or as MATLAB files; one worker saw nothing."""
    folder = root / "salicon"
    folder.mkdir(parents=True)
    if layout == "json":
        (folder / "annotations").mkdir()
        listed, annotations = [], []
        for number, (name, workers) in enumerate(SALICON_PLACES.items()):
            listed.append(
                {"id": 42 + number, "file_name": f"{name}.jpg", "height": 480, "width": 640, "license": 1}
            )
            for worker, places in workers.items():
                fixations = [[y + 1, x + 1] for x, y in places]
                annotations.append(
                    {
                        "image_id": 42 + number,
                        "id": len(annotations),
                        "worker_id": int(worker),
                        "fixations": fixations,
                    }
                )
        record = {"info": {}, "type": "fixations", "images": listed, "annotations": annotations}
        (folder / "annotations" / "fixations_val2014.json").write_text(json.dumps(record))
    else:
        (folder / "fixations" / "val").mkdir(parents=True)
        for name, workers in SALICON_PLACES.items():
            gaze = np.empty(
                (len(workers), 1), dtype=[(k, object) for k in ("location", "timestamp", "fixations")]
            )
            for row, places in enumerate(workers.values()):
                points = np.array(places, dtype=np.uint16).reshape(-1, 2) + np.uint16(1)
                gaze[row, 0] = (points + 0.25, np.arange(len(points))[:, None], points)
            record = {"image": name, "resolution": np.array([[480, 640]], dtype=np.uint16), "gaze": gaze}
            savemat(folder / "fixations" / "val" / f"{name}.mat", record)
    if images:
        (folder / "images" / "val").mkdir(parents=True)
        for name in SALICON_PLACES:
            Image.new("RGB", (640, 480)).save(folder / "images" / "val" / f"{name}.jpg")
    return root


SEARCH_IMAGES = {"NaturalDesign": 240, "Waldo": 67, "ObjArr": 300}
_FAMILIES = ("curvature", "lightning_dir", "intersection", "intersection", "categorization", "categorization")


def make_search_part(root, part, *, seed=0):
    """Files of one part with their true names and shapes: row = subject * n + image."""
    rng = np.random.default_rng(seed)
    folder, n = root / "visual_search_asymmetry" / part, SEARCH_IMAGES[part]
    for name in ("fix", "ifix", "cp", "ss_score"):
        (folder / name).mkdir(parents=True)
    for searcher, n_rows in (("human", 15 * n), ("eccNET", n), ("IVSN", n)):
        lengths = rng.integers(1, 5, n_rows)
        fix = np.zeros((n_rows, 6, 2), int)
        for row, length in enumerate(lengths):
            places = np.stack([rng.integers(0, 1024, length), rng.integers(0, 1280, length)], axis=1)
            places[0] = 512, 640
            fix[row, :length] = places[:, ::-1] if part == "ObjArr" else places
        found = np.zeros((n_rows, 6), int)
        found[np.arange(n_rows), lengths - 1] = 1
        name = "human_all" if searcher == "human" else searcher
        np.save(folder / "fix" / f"{name}.npy", fix)
        np.save(folder / "ifix" / f"I_{name}.npy", lengths[:, None])
        np.save(folder / "cp" / f"CP_{name}.npy", found)
        np.save(folder / "ss_score" / f"{searcher}.npy", np.array([0.4, 0.01]))
    if part != "ObjArr":
        np.save(folder / "target_pos.npy", np.stack([np.arange(n), 2 * np.arange(n)], axis=1))
    return folder


def make_asymmetry_trials(folder, n_saccades):
    """Tables of a model that finds every target after so many saccades."""
    folder.mkdir()
    for (name, condition), family in zip(CONDITIONS.items(), np.repeat(_FAMILIES, 2), strict=True):
        table = np.zeros((condition.n_trials * len(condition.set_sizes), 8), int)
        table[:, n_saccades] = 1
        np.savetxt(folder / f"{family}_{name}.csv", table, delimiter=",", fmt="%d")


def make_discs(folder, *, n_images=12, size=(60, 80), n_subjects=5, follow=True, seed=0):
    """Dark pictures with one bright disc, and people who look around it (or around the middle).

    Returns a StimulusSet with the disc's box as the target's, and fixations.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    rows, paths = {}, []
    for number in range(n_images):
        name = f"i{number}"
        place = np.array([rng.uniform(12, size[1] - 12), rng.uniform(12, size[0] - 12)])
        image = rng.normal(60, 4, (*size, 3))
        image[np.hypot(x - place[0], y - place[1]) < 5] = (230, 200, 40)
        Image.fromarray(np.clip(image, 0, 255).astype("u1")).save(folder / f"{name}.png")
        left, top = place - 5
        rows[name] = {
            "path": f"{name}.png", "height_px": size[0], "width_px": size[1], "target_top_px": top,
            "target_left_px": left, "target_bottom_px": top + 10, "target_right_px": left + 10,
        }  # fmt: skip
        middle = place if follow else np.array(size[::-1]) / 2
        for person in range(n_subjects):
            xy = np.clip(rng.normal(middle, 4 if follow else 12, (5, 2)), 0.5, np.array(size[::-1]) - 0.5)
            paths.append(make_fixations(xy, subject=f"s{person}", stimulus_id=name))
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("stimulus_id")
    return StimulusSet("discs", table, folder, (6, 8)), pd.concat(paths, ignore_index=True)
